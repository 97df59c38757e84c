# sim/serve/access.c
# A paused flow goes on without waiting for the server again (T19).
s/if (a->paused \&\& a->plan.resume_delay_tk > 0)/if (false)/
