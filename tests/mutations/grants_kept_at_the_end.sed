# sim/serve/grant.c
# The end of a fetch is no epoch (T39).
s/if (t->transfer->period_tk == 0 \&\& wanted(t)) arm/if (false) arm/
