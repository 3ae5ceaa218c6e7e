"""Reflection positivity of correlators and of networks, on sets of times that are printed with the verdict."""
