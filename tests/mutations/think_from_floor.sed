# sim/serve/replay.c
# A client comes back at the ns of its end and not at the first one after it (rule 24).
s/return tk \/ KV_TICKS_PER_NS + 1;/return tk \/ KV_TICKS_PER_NS;/
