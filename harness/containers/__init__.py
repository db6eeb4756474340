"""Containers: the engine, base images, environments, the cache, and machines made of them."""
