"""What latents mean, and how it is tested: statistics, association, specificity, focus, stability, names."""
