"""Layouts against what a real implementation keeps: a config in, both counts for each layer out."""
