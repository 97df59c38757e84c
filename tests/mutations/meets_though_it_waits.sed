# sim/serve/admission.c
# A request splits although it has to wait for another load (T44).
s/hit.below > 0 \&\& !hit.loading \&\&/hit.below > 0 \&\&/
