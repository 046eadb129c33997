"""A question about entities, which the index answers: what it costs does not depend on the number of events."""

from beside import Question, main

QUESTION = Question(
    title="agents where goal succeeded",
    matrix="agents where goal succeeded | select id, role",
    sql="""
        SELECT id, role FROM events AS a
        WHERE kind = 'agent.started' AND (simulation, agent) IN (
            SELECT (simulation, agent) FROM events WHERE kind = 'goal.succeeded')
        ORDER BY simulation, time, agent
    """,
)

if __name__ == "__main__":
    main(QUESTION, __file__)
