# sim/serve/admission.c
# A hit references its first block twice, so it is never given back (rules 12, 20).
s/== 0) kv_blocks_ref(&n->blocks, q->slot\[i\]);/== 0) kv_blocks_ref(\&n->blocks, q->slot[i]), i == 0 ? kv_blocks_ref(\&n->blocks, q->slot[i]) : (void)0;/
