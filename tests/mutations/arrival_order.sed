# sim/serve/waiting.c
# A waiter of higher urgency queues behind the others (rule 9).
s/if (in_order) kv_vec_push/if (true) kv_vec_push/
