"""Objectives: a model together with what it is trained to do."""
