"""Concepts in images: where a latent is, what it does to a decision, its reference pictures and its card."""
