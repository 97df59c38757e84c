# sim/serve/instance.c
# A busy period begins with the remainder of the last one (rule 1).
s/n->run_start = 0;/n->run_start %= KV_COST_PER_TICK;/
