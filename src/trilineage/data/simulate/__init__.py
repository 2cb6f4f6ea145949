"""Blood with known truth, for demos, tests and calibration of claims."""
