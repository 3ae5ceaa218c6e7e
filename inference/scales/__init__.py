"""The field on a coarser scale: sites left out, averaged in blocks, or without its short waves."""
