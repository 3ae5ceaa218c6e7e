"""Theories known by their energies: the free field, neurons on one random path."""
