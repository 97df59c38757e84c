# sim/serve/instance.c
# A boundary at the tick of a reader counts as not yet passed (rule 3).
s/run_cost(n, middle) <= budget/run_cost(n, middle) < budget/; s/run_cost(n, low + 1) > budget/run_cost(n, low + 1) >= budget/
