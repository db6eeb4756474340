"""Keeps notes in PostgreSQL: an example, in place of which your product goes."""
