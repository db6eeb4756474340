"""Whether a certificate, an envelope or a register is what its issuer signed."""
