"""Files in; checked tables, matrices, labels and splits out. Knows no model."""
