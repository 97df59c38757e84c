# sim/serve/instance.c
# The sum of costs is rounded to a tick after every macro-step (rule 1).
s/n->run_start += cost;/n->run_start = (kv_cost)kv_cost_ceil_tk(n->run_start + cost) << KV_COST_BITS;/
