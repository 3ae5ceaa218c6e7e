"""Plant couplings, simulate, fit again: does the posterior keep its word?"""
