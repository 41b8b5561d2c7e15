"""The examples of the course chapter: recipes, lessons, data sets."""
