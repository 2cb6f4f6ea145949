"""Parts of the rna recipe."""
