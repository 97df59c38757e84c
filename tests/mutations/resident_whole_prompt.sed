# sim/serve/write.c
# All of the prompt is resident (T36).
s/kv_prefix_known_blocks(&q->prefix, q->resident_tokens, block)/kv_prefix_known_blocks(\&q->prefix, q->input_tokens, block)/
