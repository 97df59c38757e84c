# sim/serve/batch.c
# Blocks published within one macro-step are registered in running order, not in step order (rule 18).
s/if (n->publishers_meet || (n->publishers.count > 0/if ((n->publishers.count > 0/
