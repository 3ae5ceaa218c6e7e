"""Known theories with their exact numbers, and the networks of the suite by name."""
