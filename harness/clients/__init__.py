"""Clients of the interfaces that a product declares."""
