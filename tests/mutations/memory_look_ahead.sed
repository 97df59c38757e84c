# sim/serve/batch.c
# A macro-step looks for free blocks one step late (rule 11).
/^int64_t kv_batch_steps_in_memory/,/^}/s/(n->step + 1) % block/(n->step + 2) % block/
