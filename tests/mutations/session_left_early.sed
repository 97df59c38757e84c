# sim/serve/turns.c
# A client leaves its session one row before its end (rule 24a).
s/return --t->left.at\[turn->conversation\] == 0;/return --t->left.at[turn->conversation] == 1;/
