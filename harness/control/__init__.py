"""The product on a cell's machines and the servers beside it: start, watch, stop, and what was left there."""
