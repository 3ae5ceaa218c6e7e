"""Potentials inserted into the networks of a box: three ways to the averages, and their limit of infinite width."""
