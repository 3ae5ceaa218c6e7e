"""Fields that other people's programs draw: one contract, a function of a key and the points."""
