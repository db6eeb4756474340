"""The two faces of the desk: pages for people, and an API for programs, over the same functions."""
