"""Patients who have smears and expression, with one diagnosis and known truth behind both."""
