# sim/serve/group.c
# A rank whose step made up is empty takes a dummy along though a request has come since (rule 13f).
s/!ahead || !was_busy || !n->made/!ahead || !was_busy/
