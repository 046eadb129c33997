"""Report: how diverse what a query finds is, and how close to real text."""
