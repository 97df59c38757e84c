# sim/serve/blocks.c
# Reading a chunk does not renew it (T4).
s/if (!(s->flags & KV_SLOT_PARKED)) b->evict->hit(b->policy, slot);//
