"""Interacting fields in a periodic box, made of networks: the free field's modes, a local potential, a program."""
