# sim/serve/ahead.c
# The pause of a request whose first token comes while it waits is all before that token, and after it (rule 13d).
s/q->preempted_at_tk = now;//
