"""Tools: typed functions that a model may call, with a JSON schema made from the signature."""
