# sim/serve/access.c
# A store that is asked for a plan does not count the access itself (T37).
s/\.under_way = a->pool->under_way}, a->bytes/.under_way = a->pool->under_way - 1}, a->bytes/
