"""Ways to the equations of a fit, and to couplings without one."""
