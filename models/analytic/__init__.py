"""What a program says without a draw, the first maker of correlators: averages, generating functional, density."""
