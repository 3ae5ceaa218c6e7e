"""From verdicts and figures to a page."""
