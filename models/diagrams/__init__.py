"""From couplings to correlators and back by Feynman diagrams and series: the third maker."""
