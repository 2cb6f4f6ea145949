"""Scores, decisions, calibration and guarantees on a tree (or DAG): probabilities of nodes in, numbers out."""
