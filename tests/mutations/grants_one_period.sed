# sim/serve/grant.c
# An epoch at a period is the last one (T39).
s/if (t->transfer->period_tk > 0 \&\& wanted(t)/if (false/
