# sim/serve/grant.c
# A grant for life is held however small it is (T39)
s/if (!t->transfer->work_conserving) leave_scraps(t, held);/(void)leave_scraps;/
