"""From equations and a prior to a labelled tree."""
