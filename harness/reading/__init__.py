"""Reads definitions from files into the models; gathers every fault."""
