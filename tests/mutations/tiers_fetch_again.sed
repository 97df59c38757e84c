# sim/serve/look_up.c
# After a timeout the same is fetched again (T14).
s/&& !(q->hold && q->hold->hbm_only))/)/
