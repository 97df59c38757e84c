# sim/serve/instance.c
# The first of running is preempted, not the last (rule 11).
s/uint32_t place = n->tail, seq = /uint32_t place = n->head, seq = /
