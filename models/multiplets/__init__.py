"""Networks of more than one field: fields that share neurons, wholly or in part."""
