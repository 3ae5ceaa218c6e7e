"""The Osterwalder-Schrader axioms of an ensemble: which of them its correlators keep, how far they break the others."""
