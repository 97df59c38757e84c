# sim/serve/grant.c
# Each access of a chunkwise fetch has the whole grant (T39).
s|network.efficiency) / f->width;|network.efficiency);|
