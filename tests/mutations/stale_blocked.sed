# sim/serve/admission.c
# A refused waiter is not looked up again when blocks were registered since (rule 12).
s/ && n->blocked_registrations == n->blocks.registrations//
