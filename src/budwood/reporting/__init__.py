"""A run told to people: one page that opens from disk, and a model card."""
