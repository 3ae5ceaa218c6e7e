"""Networks that have learned from data: a trained ensemble is a random function as the one it was drawn from."""
