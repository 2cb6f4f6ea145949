"""Parts of the concepts recipe."""
