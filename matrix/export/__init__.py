"""Export: what a query finds becomes training data, in JSON Lines or Parquet, with a card that says what is in it.

``contract`` says what the parts agree on, ``selection`` what a query chooses; a form makes rows of it.
"""
