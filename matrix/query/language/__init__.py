"""From text to a checked query: the grammar, names and types, and what is said of a text that is no query."""
