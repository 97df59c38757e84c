# sim/serve/net_rates.c
# A link is as slow as with one flow more (T38a).
s/n == 0 ? 0 : n < count ? n - 1 : count - 1/n < count ? n : count - 1/
