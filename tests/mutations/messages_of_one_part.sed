# sim/serve/access.c
# Messages are as large as those of one part (T38).
s/(double)(bytes \* t->serve->config->tp)/(double)bytes/
