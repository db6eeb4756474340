"""Database servers of the laboratory: a place at one, a user and database of the cell's own, and SQL from here."""
