"""Each check of a fit: a value, a limit, a verdict, a reason."""
