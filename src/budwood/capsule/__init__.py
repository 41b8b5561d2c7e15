"""The capsule: a trained classifier in one file that can prove itself anywhere."""
