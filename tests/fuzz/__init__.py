"""Fuzzing of everything that reads what others wrote. ``tox -e fuzz`` runs all; see ``tests.fuzz.__main__``."""
