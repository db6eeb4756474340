"""Deploys a product: recipes of its environments, the steps on a cell's machines, control of the running product."""

from harness.deploy.deployment import Deployment, ProductFault
from harness.deploy.installation import Installation
from harness.deploy.recipes import application_recipe, database_recipe
from harness.deploy.steps import deploy

__all__ = ["Deployment", "Installation", "ProductFault", "application_recipe", "database_recipe", "deploy"]
