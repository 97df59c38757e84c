# sim/serve/look_up.c
# A hit may cover the last token (rule 18).
s/cap = (kv_known_tokens(q) - 1) \/ block/cap = kv_known_tokens(q) \/ block/
