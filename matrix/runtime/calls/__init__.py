"""Requests to the outside and their answers: how they are made, recorded, bounded and tried again."""
