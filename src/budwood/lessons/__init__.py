"""Experiments that show, in minutes, what a chapter of the course claims."""
