"""From a checked query to columns: which blocks are read, what holds of their rows, groups and order."""
