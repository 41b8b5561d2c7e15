"""A folder of photos, its splits, and the one way from a file's bytes to network input."""
