"""Actions, methods, priors and predictions held against each other."""
