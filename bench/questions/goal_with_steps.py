"""A test of goals by name, outcome and steps."""

from beside import Question, main

QUESTION = Question(
    title="simulations where a negotiation succeeded in more than one step",
    matrix="simulations where any goal (name ~ /negotiat/ and succeeded and steps > 1) | count",
    sql="""
        SELECT count(DISTINCT simulation) FROM
            (SELECT simulation, goal FROM events WHERE kind = 'goal.succeeded' AND steps > 1) AS ended
        JOIN (SELECT simulation, seq AS goal FROM events
              WHERE kind = 'goal.started' AND regexp_matches(name, 'negotiat')) AS goals
        USING (simulation, goal)
    """,
)

if __name__ == "__main__":
    main(QUESTION, __file__)
