"""This machine: starting programs, waiting, masking secrets."""
