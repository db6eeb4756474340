"""Keys, signatures, envelopes, and the Merkle tree of a log."""
