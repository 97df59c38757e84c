# sim/serve/layered.c
# A layer is told to start a tick early (T41).
s/y->told_tk.at\[arrivals + l\] = n->origin_tk + kv_cost_ceil_tk(at);/y->told_tk.at[arrivals + l] = n->origin_tk + (kv_tick)(at >> KV_COST_BITS);/
