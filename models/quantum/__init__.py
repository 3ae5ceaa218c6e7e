"""Quantum mechanics of one or two coordinates, solved by diagonalisation: field theories in one dimension, exact."""
