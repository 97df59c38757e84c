# sim/serve/split.c
# Before it has met a request computes as much as the budget allows (T44).
s/if (tokens > most) tokens = most;/(void)most;/
