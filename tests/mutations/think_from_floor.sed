# sim/serve/replay.c
# A client comes back at the ns before the end of its request (rule 24).
s/return (tk + KV_TICKS_PER_NS - 1) \/ KV_TICKS_PER_NS;/return tk \/ KV_TICKS_PER_NS;/
