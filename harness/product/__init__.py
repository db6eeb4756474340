"""The product on a cell's machines: control while it runs, and what it left there."""

from harness.product.deployment import Deployment
from harness.product.fault import ProductFault
from harness.product.installation import Installation

__all__ = ["Deployment", "Installation", "ProductFault"]
