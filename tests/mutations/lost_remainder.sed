# sim/serve/instance.c
# The sum of costs is rounded to a tick after every macro-step (rule 1).
s/n->run_start += run_cost(n, n->run_steps);/n->run_start = (kv_cost)kv_cost_ceil_tk(n->run_start + run_cost(n, n->run_steps)) << KV_COST_BITS;/
