# sim/serve/write.c
# What a lower tier evicts crosses PCIe (T17b).
s/submit(&p, NULL, instance, tier > 1);/submit(\&p, NULL, instance, false);/
