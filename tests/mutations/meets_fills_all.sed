# sim/serve/load_end.c
# At a meeting fills become visible whose blocks have not arrived (T44).
s/if (end == END_CUT || (end == END_MET \&\& !filled(t, l, \&f)))/if (end == END_CUT || (filled(t, l, \&f) \&\& false))/
