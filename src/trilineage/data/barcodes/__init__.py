"""Barcodes of patients: how often each latent is active in a patient's cells, and their files (AnnData)."""
