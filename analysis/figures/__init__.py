"""One function a figure: it takes a fit and returns it drawn."""
