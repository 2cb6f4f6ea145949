"""A Run in, one self-contained page out. Never loads a model."""
