"""Potentials inserted into the networks of a box: three engines for the averages, and their limit of infinite width."""
