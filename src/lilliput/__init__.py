"""Lilliput makes neural networks small, and proves it on the file that ships."""
