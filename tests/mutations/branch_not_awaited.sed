# sim/serve/turns.c
# The main line goes on although a sub-agent that started before has not ended (rule 25a).
s/        t->row.at\[branch->last\].joins = true;/        t->row.at[branch->last].joins = true, t->row.at[branch->waiter].waits--, t->row.at[branch->last].next = -1;/
