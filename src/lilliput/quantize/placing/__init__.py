"""Where quantizers go in a captured graph, by the rules of a target."""
