"""Programs that draw a field: networks, their readout laws and what their neurons share."""
