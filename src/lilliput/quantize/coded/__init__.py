"""Weights as integers without limits, for files in which frequent integers are short."""
