# sim/serve/instance.c
# A hit may cover the last token (rule 18).
s/cap = (known_tokens(q) - 1) \/ block/cap = known_tokens(q) \/ block/
