"""An int8 network as self-contained C for a microcontroller."""
