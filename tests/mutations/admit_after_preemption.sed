# sim/serve/instance.c
# Waiting requests are admitted in a step that preempted (rule 12).
s/if (!preempted || n->running == 0) kv_admission_schedule/kv_admission_schedule/
