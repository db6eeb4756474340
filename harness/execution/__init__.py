"""Runs one cell, from environment to verdict."""
