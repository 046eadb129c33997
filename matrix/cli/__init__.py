"""The command line: one verb a file, each a thin shell over one call of the Python API."""
