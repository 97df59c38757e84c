# sim/serve/load.c
# A request meets its KV one block before the last that is missing (T44).
s/return b->block + 1;/return b->block;/
