"""Arrays in, numbers with intervals out. Knows no model and no torch."""
