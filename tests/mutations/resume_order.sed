# sim/serve/waiting.c
# The first preempted is resumed first (rule 9).
/^uint32_t kv_waiting_first/,/^}/s/preempted.at\[w->preempted.count - 1\]/preempted.at[0]/
