# sim/serve/split.c
# What a request computed before it met counts as hits (T44).
s/for (int32_t i = s->first; i < computed; i++) q->hold->hit_tokens/for (int32_t i = computed; i < computed; i++) q->hold->hit_tokens/
