"""Runs suites of pytest files; the plugin runs inside pytest's own process."""
