# sim/serve/layered.c
# What a request waits for its own layers counts as induced too (T20).
s/q->induced_tk -= own_tk;//
