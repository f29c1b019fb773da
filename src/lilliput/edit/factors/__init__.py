"""Ways to write a layer as several cheaper ones in a row."""
