# sim/serve/blocks.c
# A block that was hit and released again is inserted anew (rule 21).
s/if (s->flags & KNOWN) b->evict->unpin/if (false) b->evict->unpin/
