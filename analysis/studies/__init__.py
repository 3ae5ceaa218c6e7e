"""Whole studies in a few lines, from their settings to their pages."""
