"""Which monomials an effective action has, and whether they are bounded below."""
