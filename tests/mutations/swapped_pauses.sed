# sim/serve/admission.c
# Pauses before the first token count as decode, those after it as prefill (rule 22).
s/if (q->first_token_tk < 0) q->paused_prefill_tk/if (q->first_token_tk >= 0) q->paused_prefill_tk/
