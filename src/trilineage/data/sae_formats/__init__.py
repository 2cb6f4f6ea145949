"""Weights of sparse autoencoders in the formats of other packages: read safely, written so that those can load them."""
