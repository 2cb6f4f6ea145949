"""Expression matrices: read, recognised, aligned, held compactly, and handed out as sparse minibatches."""
