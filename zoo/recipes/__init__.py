"""Recipes: a training run as data, from the model and the rows to the exported directory."""

from textzoo.recipes.job import abstract_step, prepare
from textzoo.recipes.recipe import Recipe
from textzoo.recipes.run import RunResult, run_recipe

__all__ = ["Recipe", "RunResult", "abstract_step", "prepare", "run_recipe"]
