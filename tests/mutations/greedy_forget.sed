# sim/serve/blocks.c
# An output block that another request references is forgotten all the same (rule 20).
/^void kv_blocks_unref_forget/,/^}/s/if (--s->refs > 0) return;/--s->refs;/
