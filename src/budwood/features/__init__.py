"""Frozen trunks run once per photo: engines, the store of what they made, extraction."""
