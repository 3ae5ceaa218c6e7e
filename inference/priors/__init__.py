"""What is believed of couplings before the data."""
