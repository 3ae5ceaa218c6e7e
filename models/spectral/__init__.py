"""Theories known by their energies: spectra, the free field, neurons on one random path."""
