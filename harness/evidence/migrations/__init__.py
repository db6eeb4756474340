"""Steps by which the tables of older harnesses become those of this one; a step that was released is never changed."""
