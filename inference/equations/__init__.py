"""The equations A theta = b of a fit with their noise B/n, from moments or from fields."""
