"""A folder or a list becomes labelled, grouped splits."""
