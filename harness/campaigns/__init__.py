"""Campaigns: run a plan here, resume what was cut off, render, sweep what a killed run left."""
