"""Every event counts."""

from beside import Question, main

QUESTION = Question(
    title="count by kind per minute: all events",
    matrix="events | count by kind per 1m",
    sql="""
        SELECT kind, time // 60000000 * 60000000 AS time, count(*)
        FROM events GROUP BY ALL ORDER BY kind, time
    """,
)

if __name__ == "__main__":
    main(QUESTION, __file__)
