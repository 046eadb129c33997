"""Logs of Inspect, the framework for evaluations: ``.eval`` archives and ``.json`` files, read by its own library.

    pip install 'matrix-runtime[inspect]'
    matrix import inspect logs/*.eval --store runs

Each sample of each epoch becomes a simulation, also those of a log that was cut short by an error:

* **simulation**: id ``inspect-<the first 12 letters of the file's digest>-<sample>-<epoch>``, its task's name. Data:
  ``.sample_id .epoch .input .target .choices .metadata`` and what else the sample says; ``.task .model`` and, as
  ``.log``, what the log says of all samples; from its end ``.error .limit .total_time .working_time .model_usage``.
  It failed where an error halted it.
* **agents**: ``assistant``; an agent with a span of its own in the transcript, and a scorer that asks a model, under
  their names; ``user``.
* **model events**: ``model.called`` and ``model.completed`` or ``model.failed`` as a run records them, messages in
  OpenAI's form, each once; ``.options`` are the sampling options. Endpoint and request hash are not in a log.
* **tool events**: ``tool.called`` and ``tool.completed`` or ``tool.failed``, ``.call_id`` that of the model.
* **messages**: what the sample's conversation has of the user, and every text of the assistant, are ``message.sent``,
  in the place of the model event that had or gave them. The system prompt and the tools are the briefing.
* **scores**: each is a goal under its scorer's name, one inside the other, the first outermost. Succeeded where the
  value is 1 (``C``, true), failed where it is any other single value, else cancelled; ``.reward`` (the value as a
  number) ``.value .answer .explanation .metadata``. A sample without scores has the goal ``task``.
* **everything else** in the transcript (information, limits, errors, logging, sandboxes, intermediate scores, the
  store) is a ``note`` whose ``.subject`` is the event's type. Left out is what only repeats: states of the
  conversation, the beginnings and ends of spans, raw requests to providers.
* **time**: moments of the transcript, virtual time from the first of them. A log without a transcript has none: each
  message takes one virtual second.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matrix.importers.fields import Record
from matrix.importers.history import History
from matrix.importers.inspect_library import open_log
from matrix.importers.inspect_sample import InspectSample
from matrix.importers.source import Source

_DIGEST_LETTERS = 12
_SAMPLE_BYTES_MAX = 180  # of a sample's id, so that the simulation's fits
#: Of a header: where the file lies, and what is as long as the log.
_LEFT_OUT = ("location", "etag", "samples", "reductions")


def read(source: Source) -> Iterator[History]:
    """The samples of a log, one by one."""
    with open_log(source) as log:
        header = log.header()
        spec = header.record("eval")
        dataset = {key: value for key, value in spec.optional_record("dataset").value.items() if key != "sample_ids"}
        kept = {key: value for key, value in header.value.items() if key not in _LEFT_OUT}
        about: dict[str, Any] = {"format": "inspect", "file": source.name, "file_digest": source.digest}
        about |= {"task": spec.text("task"), "model": spec.text("model")}
        about |= {"log": kept | {"eval": spec.value | {"dataset": dataset}}}
        created = spec.optional_time("created")
        for number, sample in enumerate(log.samples(), start=1):
            id = f"inspect-{source.digest[:_DIGEST_LETTERS]}-{_short(sample, number)}"
            yield InspectSample(id, sample, about, source.wall if created is None else created).told()


def _short(sample: Record, number: int) -> str:
    """Which sample it is, and in which epoch; one with a very long id by its number in the log."""
    id = str(sample.value.get("id"))
    name = id if len(id.encode()) <= _SAMPLE_BYTES_MAX else f"#{number}"
    return f"{name}-{sample.integer('epoch')}"
