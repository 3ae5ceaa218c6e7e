"""What is kept of the networks of a box and read off it: averages with errors, the gap, the couplings of the action."""
