# sim/serve/batch.c
# A one-token remainder is priced as a chunk (rule 13).
/^void kv_batch_summary/,/^}/s/if (tokens > 1)/if (tokens > 0)/
