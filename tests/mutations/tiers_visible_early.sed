# sim/serve/write.c
# A write is visible before it is acknowledged (T24).
s/kv_tick due = .*/kv_tick due = kv_engine_now(t->serve->engine);/
