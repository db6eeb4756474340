"""Runs suites against a deployed cell, each in a process of its own, and gives observations.

Nothing is imported here: a locustfile imports ``harness.runners.locust.support``, and must stay light.
"""
