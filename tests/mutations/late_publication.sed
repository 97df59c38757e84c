# sim/serve/batch.c
# Generated blocks become matchable at the end of a macro-step only (rule 18).
/^void kv_batch_roll/,/^}/s/kv_batch_publish(n);//
