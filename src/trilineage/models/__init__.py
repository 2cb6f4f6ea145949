"""nn.Module and forward only: no files, no loops, no option parsing."""
