"""Processes, waiting, redaction: the only modules that start a program or wait."""
