"""LiteRT (TensorFlow Lite) files, run by its interpreter with XNNPACK."""
