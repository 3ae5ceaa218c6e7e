"""Before the networks are drawn, and with few of them."""
