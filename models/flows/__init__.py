"""How couplings change with scale: the local potential under a moving cutoff, chains with sites left out."""
