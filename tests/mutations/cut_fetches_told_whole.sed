# sim/serve/fetch.c
# A fetch that is cut is told as delivered (T40).
s/= cut ? kv_fetch_delivered_bytes(t, f, end_tk) : f->record.bytes/= f->record.bytes/
