# sim/serve/write.c
# A dropped write wastes the bytes of one part alone (T25).
s/wasted_bytes += moved \* t->serve->config->tp;/wasted_bytes += moved;/
