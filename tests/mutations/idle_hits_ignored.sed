# sim/serve/admission.c
# Admission counts evictable blocks that the hit itself takes back (rule 12).
s/ <= kv_blocks_available(&n->blocks) - hit->idle/ <= kv_blocks_available(\&n->blocks)/
