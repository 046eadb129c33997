"""The chain of events that led to one failure: the first one of the store that has a cause."""

from beside import Question, main

QUESTION = Question(
    title="the causes of one failure",
    matrix="events goal.failed where cause exists | limit 1 | causes | select seq, kind, depth",
    sql="""
        WITH RECURSIVE failure AS MATERIALIZED (
            SELECT simulation, seq, cause FROM events WHERE kind = 'goal.failed' AND cause > 0
            ORDER BY simulation, seq LIMIT 1),
        before AS MATERIALIZED (
            SELECT events.seq, events.cause, events.kind FROM events, failure
            WHERE events.simulation = failure.simulation AND events.seq <= failure.cause),
        chain AS (
            SELECT before.*, 1 AS depth FROM before JOIN failure ON before.seq = failure.cause
            UNION ALL
            SELECT before.*, chain.depth + 1 FROM chain JOIN before ON before.seq = chain.cause)
        SELECT seq, kind, depth FROM chain ORDER BY seq
    """,
)

if __name__ == "__main__":
    main(QUESTION, __file__)
