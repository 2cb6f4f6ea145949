"""Sparse autoencoders on tokens: settings, model, exact sparse encoding and decoding."""
