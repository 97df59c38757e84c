# sim/serve/instance.c
# Waiting requests are admitted in a step that preempted (rule 12).
s/if (!preempted) schedule_waiting/schedule_waiting/
