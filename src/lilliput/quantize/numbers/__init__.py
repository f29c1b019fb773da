"""Integers and floats: grids, rounding to them, and the module that does it."""
