# sim/serve/batch.c
# A macro-step looks for free blocks one step late (rule 11).
/^int64_t kv_batch_steps_in_memory/,/^}/s/if (n->phase\[b\] > left) break;/if (n->phase[b] > left + 1) break;/
