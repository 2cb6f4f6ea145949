"""One file per public data set: where it is, its licence, how to read it and its label map."""
