"""Entities as they were: what the index would hold if the log ended where a query's moment cuts it."""
