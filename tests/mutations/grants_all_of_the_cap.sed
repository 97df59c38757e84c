# sim/serve/grant.c
# Grants in force are not taken off the cap (T39).
s/held += f->grant;//
