"""Parts of the cases recipe."""
