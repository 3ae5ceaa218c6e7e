"""Where networks come from: recipes, arrays of one's own, and sums over them."""
