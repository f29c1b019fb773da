"""The float network and the quantized one side by side."""
