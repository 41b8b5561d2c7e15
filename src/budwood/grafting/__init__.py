"""Networks made of pieces of several others."""
