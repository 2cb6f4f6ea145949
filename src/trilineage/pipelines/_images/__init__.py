"""Parts of the images recipe."""
