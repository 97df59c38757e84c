# sim/serve/access.c
# An access whose flow pauses keeps its turn (T19).
s/if (ended || paused) give_turn_back/if (ended) give_turn_back/
