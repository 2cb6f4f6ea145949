"""Learning a sparse autoencoder: exact losses and gradients that touch only active latents."""
