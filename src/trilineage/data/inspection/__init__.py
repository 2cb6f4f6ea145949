"""Images looked through before they are learned from: duplicates, hidden acquisitions, leaks, unreadable files."""
