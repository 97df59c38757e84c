# sim/serve/group.c
# A rank that takes a dummy step along counts it as a step (rule 13f).
s/if (rank_of(first, i)->made) kv_ahead_begin_step/kv_ahead_begin_step/
