# sim/serve/load.c
# A request joins a step one layer too early (T10).
s/if (least >= kv_load_release_layers(t))/if (least + 1 >= kv_load_release_layers(t))/
