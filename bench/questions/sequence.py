"""Three steps in the stream of an agent: what it did and what it got, with a bound and something that must not be.

The SQL takes the stream apart where a rejection stands, since none may be between first and last. Within a piece the
latest counter before an accept, and the latest offer before that counter, are the ones that leave the fewest turns.
A turn is the agent's own count, so what it got has the turn of the latest event that it did.
"""

from beside import Question, main

QUESTION = Question(
    title="a sequence of three steps: offer, got counter, accept, within 10 turns, without a reject",
    matrix="""
        agents where did offer then got counter then accept within 10 turns without reject | count by role
    """,
    loaded='simulation, agent, seq, turn, kind, "to", role',
    sql="""
        WITH own AS MATERIALIZED (SELECT simulation, agent, seq, turn, kind FROM events WHERE agent > 0),
        got AS (
            SELECT g.simulation, g.agent, g.seq, own.turn, g.kind
            FROM (SELECT simulation, "to" AS agent, seq, kind FROM events
                  WHERE "to" > 0 AND "to" <> agent AND kind IN ('counter', 'reject')) AS g
            ASOF LEFT JOIN own
            ON own.simulation = g.simulation AND own.agent = g.agent AND own.seq <= g.seq),
        stream AS (
            SELECT simulation, agent, seq, coalesce(turn, 0) AS turn, kind, true AS is_got FROM got
            UNION ALL
            SELECT simulation, agent, seq, turn, kind, false FROM own WHERE kind IN ('offer', 'accept', 'reject')),
        pieces AS (
            SELECT *, count(*) FILTER (kind = 'reject') OVER stream AS piece FROM stream
            WINDOW stream AS (PARTITION BY simulation, agent ORDER BY seq)),
        offered AS (
            SELECT *, last_value(CASE WHEN kind = 'offer' THEN turn END IGNORE NULLS) OVER piece AS offered FROM pieces
            WINDOW piece AS (PARTITION BY simulation, agent, piece ORDER BY seq)),
        countered AS (
            SELECT *, last_value(CASE WHEN kind = 'counter' THEN offered END IGNORE NULLS) OVER piece AS first
            FROM offered WINDOW piece AS (PARTITION BY simulation, agent, piece ORDER BY seq))
        SELECT role, count(*) FROM events
        WHERE kind = 'agent.started' AND (simulation, agent) IN (
            SELECT (simulation, agent) FROM countered WHERE kind = 'accept' AND turn - first <= 10)
        GROUP BY role ORDER BY role
    """,
)

if __name__ == "__main__":
    main(QUESTION, __file__)
