"""Theories beside what their networks say: the exact oscillator, depth and training."""
