"""Operators become calls of kernels, with TensorFlow Lite's integer semantics."""
