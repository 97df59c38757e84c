# sim/serve/instance.c
# Boundaries come before the arrivals of their tick (rule 3).
s/KV_CLASS_BOUNDARY/KV_CLASS_VISIBLE/
