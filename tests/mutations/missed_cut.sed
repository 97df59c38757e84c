# sim/serve/instance.c
# An arrival does not end the macro-step under way (rule 4).
s/if (n->run_applied + 1 < n->run_steps) arm_end_of_run/if (false) arm_end_of_run/
