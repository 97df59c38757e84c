# sim/serve/access.c
# Who is refused again waits no longer than the first time (T37a).
s/a->number, ++a->attempt)/a->number, 1)/
