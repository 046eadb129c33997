"""A filter on a payload field, and aggregates of others, by one more."""

from beside import Question, main

QUESTION = Question(
    title="filter and aggregate: long model calls, by model",
    matrix="events model.completed where .tokens > 1000 | count, sum(.tokens), avg(.ms) by .model",
    sql="""
        SELECT model, count(*), sum(tokens), avg(ms)
        FROM events WHERE kind = 'model.completed' AND tokens > 1000
        GROUP BY model ORDER BY model NULLS LAST
    """,
)

if __name__ == "__main__":
    main(QUESTION, __file__)
