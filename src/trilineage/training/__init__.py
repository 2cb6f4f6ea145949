"""One loop that knows steps, not tasks; optimisers, checkpoints, processes."""
