"""Frozen types and narrow protocols that all other modules meet through; no input or output happens here."""
