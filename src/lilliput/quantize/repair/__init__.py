"""Ranges made alike before quantization, and means put right after it."""
