# sim/serve/access.c
# A policy sees the limit of a stream among all that are under way (T39).
s/return plan_next(t, pool, &way, delivery, chunks, 1).limit;/return plan_next(t, pool, \&way, delivery, chunks, pool->under_way + 1).limit;/
