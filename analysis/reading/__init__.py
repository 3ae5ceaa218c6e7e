"""What a fit holds, read once."""
