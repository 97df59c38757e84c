# sim/serve/access.c
# Refused accesses come no more although something else is still pending (T37a)
s/if (!kv_engine_idle_but(t->serve->engine, t->retry_timer)) return false;//
