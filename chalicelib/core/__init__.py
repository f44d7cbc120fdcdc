"""Pure rules: no I/O, no AWS, no clock. Time and randomness come in as arguments."""
