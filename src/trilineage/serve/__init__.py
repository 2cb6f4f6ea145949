"""Doors for browsers and other programs (none yet)."""
