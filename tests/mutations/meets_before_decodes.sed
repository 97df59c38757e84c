# sim/serve/instance.c
# Prompts that have not met take of the budget what decoding members behind them need (T44).
s/\*budget - (n->decode_count - decoded)/*budget/
