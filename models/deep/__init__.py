"""Networks of several hidden layers: their programs, and what depth makes of the correlators of their fields."""
