# sim/serve/instance.c
# cache_outputs: false keeps the outputs (rule 20).
s/finish && !engine->cache_outputs/false/
