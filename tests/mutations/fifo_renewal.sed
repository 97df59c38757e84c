# sim/serve/blocks.c
# A block that was hit and released again is inserted anew (rule 21).
s/s->flags & KV_SLOT_KNOWN ? UNPIN : INSERT/INSERT/
