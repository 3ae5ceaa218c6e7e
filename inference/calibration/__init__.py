"""Plant couplings, simulate, fit again: does the posterior hold the truth as often as it says?"""
