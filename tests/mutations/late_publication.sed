# sim/serve/instance.c
# Blocks that decoding fills at a boundary become matchable later than that boundary (rule 18).
/^static bool schedule_running(/,/^}/s/kv_batch_publish(n, [A-Za-z_.]*);//
