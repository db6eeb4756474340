"""Numbers that a program computed, quantity by quantity: read from its files, compared, counted, drawn."""
