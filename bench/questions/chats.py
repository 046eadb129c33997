"""What successful agents said and were told, as training examples."""

from beside import Question, main

QUESTION = Question(
    title="conversations of successful auditors as chats",
    matrix="agents where goal succeeded and role = auditor | conversations | as chat",
    sql="""
        WITH agents AS MATERIALIZED (
            SELECT simulation, agent, id, role FROM events WHERE kind = 'agent.started'),
        chosen AS (
            SELECT simulation, agent, id FROM agents WHERE role = 'auditor' AND (simulation, agent) IN (
                SELECT (simulation, agent) FROM events WHERE kind = 'goal.succeeded')),
        messages AS MATERIALIZED (
            SELECT simulation, seq, time, agent, least(agent, "to") AS low, greatest(agent, "to") AS high,
                CASE WHEN text IS NOT NULL THEN text
                     WHEN kind IN ('offer', 'counter')
                     THEN kind || ' ' || to_json(struct_pack(price := price::INTEGER, item := item))
                     ELSE kind || ' ' || to_json(struct_pack(price := price)) END AS content
            FROM events WHERE "to" > 0),
        told AS (
            SELECT messages.*, chosen.agent AS viewer, chosen.id AS name
            FROM messages JOIN chosen ON chosen.simulation = messages.simulation AND chosen.agent = messages.low
            UNION ALL
            SELECT messages.*, chosen.agent, chosen.id
            FROM messages JOIN chosen ON chosen.simulation = messages.simulation AND chosen.agent = messages.high
            WHERE low <> high)
        SELECT '1-' || told.simulation AS simulation,
            '1-' || told.simulation || '/' || any_value(l.id) ||
                CASE WHEN low = high THEN '' ELSE '+' || any_value(h.id) END AS conversation,
            any_value(told.name) AS agent,
            list({'role': CASE WHEN told.agent = viewer THEN 'assistant' ELSE 'user' END,
                  'name': sender.id, 'content': content} ORDER BY seq) AS messages
        FROM told
        JOIN agents AS sender ON sender.simulation = told.simulation AND sender.agent = told.agent
        JOIN agents AS l ON l.simulation = told.simulation AND l.agent = low
        JOIN agents AS h ON h.simulation = told.simulation AND h.agent = high
        GROUP BY told.simulation, low, high, viewer
        ORDER BY told.simulation, min(time), min(seq), viewer
    """,
)

if __name__ == "__main__":
    main(QUESTION, __file__)
