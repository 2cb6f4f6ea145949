"""Sparse codes of images: what is kept of each image's active latents, and the files they are kept in."""
