"""Importers: histories recorded elsewhere become simulations of a store, and are asked like any other.

    matrix import tau2 results/*.json.gz --store runs

>>> from matrix.importers import import_files
>>> [report.message for report in import_files("runs", "tau2", ["airline.json"])]     # doctest: +SKIP
['airline.json: 20 simulations, 728 events']

What always holds: a file is imported whole or not at all; one that is not of the format, or is cut off, is refused
with the place; one that is there already adds nothing (its content counts, not its name or gzip); a file in memory
never takes more than its longest single element.

**A format of your own** is one function: it takes a ``Source`` (chunks, lines, or through ``JsonStream`` the elements
of a JSON document) and yields a ``History`` for each conversation. Register it under the entry-point group
``matrix.importers`` in your ``pyproject.toml``::

    [project.entry-points."matrix.importers"]
    chat = "my_package.chat:read"

and ``matrix import chat talk.jsonl --store runs`` finds it. For lines such as
``{"chat": "c1", "who": "ada", "text": "Hello"}``, all of one chat together, ``my_package/chat.py`` reads::

    import json
    from itertools import groupby
    from matrix.importers import History, Record, Refusal, Source

    def read(source: Source):
        for chat, group in groupby(records(source), key=lambda record: record.text("chat")):
            history = History(f"chat-{chat}", name="chat", wall=source.wall,
                              data={"format": "chat", "file": source.name, "file_digest": source.digest})
            agents = {}
            for second, record in enumerate(group, start=1):
                who = record.text("who")                            # refused with its place unless it is text
                if who not in agents:
                    agents[who] = history.agent(who, role="person")
                history.begin_turn(agents[who], time=second * 1_000_000)
                history.say(agents[who], record.text("text"), data=record.rest())
            history.finish(time=second * 1_000_000)
            yield history

    def records(source: Source):
        for number, line in source.lines():
            try:
                yield Record(json.loads(line), f"line {number}")
            except ValueError as error:
                raise Refusal(f"line {number}", f"not JSON: {error}") from None

``file_digest`` in the data is what tells that a file is there already; the runner adds it where an importer did not.
"""

from matrix.importers.fields import Record
from matrix.importers.history import History
from matrix.importers.jsontext import arguments_text, result_text
from matrix.importers.registry import Importer, formats, importer_of
from matrix.importers.run import ImportReport, import_files
from matrix.importers.source import Progress, Refusal, Source
from matrix.importers.stream import JsonStream

__all__ = [
    "History",
    "ImportReport",
    "Importer",
    "JsonStream",
    "Progress",
    "Record",
    "Refusal",
    "Source",
    "arguments_text",
    "formats",
    "import_files",
    "importer_of",
    "result_text",
]
