"""Arrays that somebody else computed: their files, their axes, and rows that are there twice."""
