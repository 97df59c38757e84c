# sim/serve/blocks.c
# Blocks are released first block first (rule 20).
s/for (int32_t i = count - 1; i >= 0; i--)/for (int32_t i = 0; i < count; i++)/
