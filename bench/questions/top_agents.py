"""Agents with the sum of what they used: grouped by agent, of which there are many."""

from beside import Question, main

QUESTION = Question(
    title="top agents by tokens",
    matrix="agents | select id, role, sum(.tokens of model.completed) as tokens | sort tokens desc | limit 10",
    sql="""
        WITH top AS (
            SELECT simulation, agent, sum(tokens) AS tokens FROM events WHERE kind = 'model.completed'
            GROUP BY ALL ORDER BY tokens DESC, simulation, agent LIMIT 10)
        SELECT id, role, top.tokens
        FROM top JOIN (SELECT simulation, agent, id, role FROM events WHERE kind = 'agent.started') AS agents
        USING (simulation, agent) ORDER BY top.tokens DESC, simulation, agent
    """,
)

if __name__ == "__main__":
    main(QUESTION, __file__)
