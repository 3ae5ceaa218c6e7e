"""Is a symmetry there? Groups on inputs and on fields, the part of the correlators they forbid, and its p-value."""
