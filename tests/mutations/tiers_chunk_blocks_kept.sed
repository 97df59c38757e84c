# sim/serve/admission.c
# Blocks of a first chunk that became smaller stay taken (T11).
s/kv_blocks_give(&n->blocks, held - .*/(void)held;/
