"""Recipes: a training run as data, from the model and the rows to the exported directory."""
