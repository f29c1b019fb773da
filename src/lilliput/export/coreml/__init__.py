"""Core ML packages, run by macOS and iOS."""
