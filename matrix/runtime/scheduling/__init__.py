"""Whose turn it is, how it is taken, and how lives in a simulation begin and end."""
