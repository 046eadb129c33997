"""A pattern in the text of messages."""

from beside import Question, main

QUESTION = Question(
    title="text search: messages about money back, by role",
    matrix="messages where text ~ /refund|money back/i | count by role",
    sql="""
        SELECT role, count(*) FROM
            (SELECT simulation, agent FROM events WHERE "to" > 0 AND regexp_matches(text, 'refund|money back', 'i'))
        JOIN (SELECT simulation, agent, role FROM events WHERE kind = 'agent.started') USING (simulation, agent)
        GROUP BY role ORDER BY role
    """,
)

if __name__ == "__main__":
    main(QUESTION, __file__)
