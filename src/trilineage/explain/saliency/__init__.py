"""Where in an image the evidence for a node of the taxonomy lies: maps, by gradient, attention or occlusion."""
