"""Why quantization costs accuracy, and what helps."""
