"""Cell images: any layout in, one checked table, pixels at a working size and augmented batches out."""
