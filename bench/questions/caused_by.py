"""Which failures a failed search led to, however many links lie between."""

from beside import Question, main

QUESTION = Question(
    title="failed goals that a failed search led to",
    matrix='events goal.failed where caused by tool.failed(.tool = "search") | select seq, agent.role as role',
    sql="""
        WITH RECURSIVE links AS MATERIALIZED (
            SELECT simulation, seq, cause, kind = 'tool.failed' AND tool = 'search' AS is_it
            FROM events WHERE kind NOT IN ('agent.started', 'goal.started')),
        failures AS MATERIALIZED (
            SELECT simulation, seq, agent, cause FROM events WHERE kind = 'goal.failed' AND cause > 0),
        chain AS (
            SELECT simulation, seq AS failure, cause FROM failures
            UNION ALL
            SELECT chain.simulation, failure, links.cause FROM chain JOIN links
            ON links.simulation = chain.simulation AND links.seq = chain.cause WHERE NOT links.is_it)
        SELECT failures.seq, role FROM failures
        JOIN (SELECT simulation, agent, role FROM events WHERE kind = 'agent.started') USING (simulation, agent)
        WHERE (simulation, seq) IN (
            SELECT (chain.simulation, failure) FROM chain JOIN links
            ON links.simulation = chain.simulation AND links.seq = chain.cause WHERE links.is_it)
        ORDER BY simulation, failures.seq
    """,
)

if __name__ == "__main__":
    main(QUESTION, __file__)
