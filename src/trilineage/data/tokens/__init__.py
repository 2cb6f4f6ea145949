"""Tokens of images: what they are of, shards of them on disk, and batches that a training learns from."""
