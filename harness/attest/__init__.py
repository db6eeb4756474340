"""Declared against observed: whether a machine is what its target says, before anything is tested on it."""
