"""Losses and step functions, one file per objective."""
