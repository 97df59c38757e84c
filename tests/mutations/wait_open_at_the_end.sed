# sim/serve/sim.c
# Waits that the end of the run finds open are not counted (T31)
s/^        += waited_tk(q, end_tk(sim)) - before_tk + handover_wait_tk(q, end_tk(sim));/        += before_tk - before_tk;/
