"""Machines whatever they are made of: what can serve a cell, and how a machine is reached from another process."""
