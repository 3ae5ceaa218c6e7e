"""How couplings change with scale: the local potential under a moving cutoff, and chains of which sites are left out."""
