# sim/serve/grant.c
# A fetch goes at its grant, headers or not (T39).
s/(double)granted \* t->serve->config->network.efficiency/(double)granted/
