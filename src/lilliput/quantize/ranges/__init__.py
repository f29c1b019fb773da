"""Which reals the integers of a tensor cover."""
