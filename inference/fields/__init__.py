"""Fields drawn from an action."""
