"""Tools: typed functions that a model may call, with a JSON schema made from the signature.

Knows functions, schemas, arguments and results, and nothing of simulations: who runs a tool, and what is
recorded of it, is the runtime's.
"""

from __future__ import annotations

from matrix.tools.results import as_data, result_text
from matrix.tools.signature import ToolArgumentsWrong
from matrix.tools.tool import Tool, gather, tool, tools_of

__all__ = ["Tool", "ToolArgumentsWrong", "as_data", "gather", "result_text", "tool", "tools_of"]
