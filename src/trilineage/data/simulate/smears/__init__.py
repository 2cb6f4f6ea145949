"""Blood smears with known truth: rendered cells, their masks, boxes and attributes, patients, sites and diagnoses."""
