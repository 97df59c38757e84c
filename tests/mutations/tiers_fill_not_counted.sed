# sim/serve/load_end.c
# Fills are not told (T26).
s/counters->filled_chunks++/counters->filled_chunks/
