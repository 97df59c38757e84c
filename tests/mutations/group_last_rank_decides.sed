# sim/serve/group.c
# The group sleeps when its last rank has nothing to do (rule 13f).
s/any |= n->made/any = n->made/
