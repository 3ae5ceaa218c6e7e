"""Correlators from networks, the second maker: measured in fields, hidden layers or single neurons."""
