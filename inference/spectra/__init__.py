"""Energies from correlators in Euclidean time, with their errors: no effective mass is taken for the gap."""
