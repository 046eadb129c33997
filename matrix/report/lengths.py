"""How long rows and messages are, and how many tools are called."""

from __future__ import annotations

from typing import Any

from matrix.report.rows import Seen
from matrix.report.tally import Tally
from matrix.report.texts import tool_calls

#: Each measure by its name, as a page says it.
MEASURES = {
    "messages_per_row": "messages in a row",
    "own_messages_per_row": "messages of the agent's own in a row",
    "own_words_per_row": "words of the agent's own in a row",
    "own_words_per_message": "words in a message of the agent's own",
    "tool_calls_per_row": "calls of tools in a row",
}


class Lengths:
    """Takes rows, and has the figures when all were taken."""

    def __init__(self) -> None:
        self._tallies = {name: Tally() for name in MEASURES}

    def take(self, row: Seen) -> None:
        """Look at one row. A message that only calls tools is one of the agent's own, without words."""
        own = [message for message in row.messages if message.get("role") == "assistant"]
        found = {
            "messages_per_row": len(row.messages),
            "own_messages_per_row": len(own),
            "own_words_per_row": row.own_words,
            "tool_calls_per_row": sum(len(tool_calls(message)) for message in own),
        }
        for name, value in found.items():
            self._tallies[name].add(value)
        for some in row.own:
            self._tallies["own_words_per_message"].add(len(some))

    def figures(self) -> dict[str, Any]:
        """By measure: count mean min p5 p25 p50 p75 p95 max histogram."""
        return {name: tally.figures() for name, tally in self._tallies.items()}
