# sim/serve/instance.c
# An arrival does not end the macro-step under way (rule 4).
s/if (n->run_applied + 1 < n->run_steps) kv_instance_arm/if (false) kv_instance_arm/
