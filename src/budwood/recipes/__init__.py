"""Recipes: one small file for each worked example, with what it takes and what to compare with."""
