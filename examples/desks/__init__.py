"""Service desks for customer_service.py: each is a database, and the tools that work on it."""
