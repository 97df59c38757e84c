# sim/serve/load_begin.c
# A load of exactly the threshold is chunkwise (T35).
s/bytes >= fetch->auto_bytes/bytes > fetch->auto_bytes/
