"""Deploys a product: recipes of its environments, and the steps on a cell's machines."""

from harness.deploy.recipes import application_recipe, server_recipe
from harness.deploy.steps import configure, deploy, start

__all__ = ["application_recipe", "configure", "deploy", "server_recipe", "start"]
