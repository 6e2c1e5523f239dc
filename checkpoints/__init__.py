"""Weights, configs and everything else of a model on disk."""
