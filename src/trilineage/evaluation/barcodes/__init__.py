"""Barcodes of patients: made in a stream, with intervals, classified by subtype, and held against each other."""
