"""Deploys a product: recipes of its environments, and the steps on a cell's machines."""

from harness.deploy.recipes import application_recipe, database_recipe
from harness.deploy.steps import deploy

__all__ = ["application_recipe", "database_recipe", "deploy"]
