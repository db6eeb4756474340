"""Figures, measured side by side in one run. ``tox -e bench`` runs all; nothing here is a test."""
