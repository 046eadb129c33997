"""Export: what a query finds becomes training data, in JSON Lines or Parquet, with a card that says what is in it."""
