# sim/serve/batch.c
# Blocks published within one macro-step are registered in running order, not in step order (rule 18).
s/(n->publishers_meet || !publish_ahead(/(!publish_ahead(/
