"""What every kind of provisioner shares: its protocol, installing, unpacking, shell commands of POSIX machines."""
