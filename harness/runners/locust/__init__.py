"""Runs load profiles. Nothing is imported here: a locustfile imports ``support``, which must stay light."""
