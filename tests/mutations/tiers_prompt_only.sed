# sim/serve/write.c
# Generated tokens are written whether wanted or not (T22).
s/if (!k->config->write_decode && tokens > q->input_tokens)/if (false)/
