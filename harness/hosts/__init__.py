"""Lab hosts: inventory, leases, SSH, their state before and after a product."""
