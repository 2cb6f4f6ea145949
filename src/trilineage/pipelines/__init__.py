"""The recipes, each readable from top to bottom; none knows another."""
