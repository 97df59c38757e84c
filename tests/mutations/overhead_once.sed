# sim/serve/instance.c
# Host overhead is charged once a macro-step, not once a step (rule 2).
s/n->run.first += n->overhead;/n->run_start += n->overhead;/
