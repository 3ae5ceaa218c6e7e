"""Points that fill the cube evenly in place of random ones."""
