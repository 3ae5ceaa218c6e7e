"""What the program of a model allows: independent neurons, given hidden layers, a smooth density."""
