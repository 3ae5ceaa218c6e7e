"""A neuron draws its activation and answers for its averages; nothing here knows of a width or a readout."""
