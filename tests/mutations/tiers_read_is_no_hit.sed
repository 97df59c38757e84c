# sim/serve/blocks.c
# Reading a chunk does not renew it (T4).
s/if (!(s->flags & PARKED)) b->evict->hit(b->policy, slot);//
