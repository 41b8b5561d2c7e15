"""How good a classifier is, where it errs, and how sure of that one may be."""
