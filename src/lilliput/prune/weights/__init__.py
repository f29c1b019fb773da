"""Single weights that become zeros, and the masks that keep them so."""
