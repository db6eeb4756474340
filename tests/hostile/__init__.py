"""What a hostile vendor's content tries on the machine that runs the harness, and does not get."""
