"""The public register of certificates: log, checkpoints, status list."""
