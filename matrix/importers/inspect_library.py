"""The door to ``inspect_ai``, which reads its own logs: a file's header and its samples, as plain JSON values.

What always holds: the library sees the content whose digest the source has, and nothing else of it is used than what
it gives for reading logs; whatever it raises over a file is a refusal with the place. It works in a thread of its own,
where no event loop of the caller's is in its way, and its warnings are nobody's. A sample is checked for size before
it is unpacked, and is the most that is in memory.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from matrix.errors import UsageError
from matrix.importers.fields import Record
from matrix.importers.source import Refusal, Source
from matrix.importers.stream import JsonStream, is_text, nesting
from matrix.limits import IMPORT_DEPTH_MAX, IMPORT_ELEMENT_CHARS_MAX

if TYPE_CHECKING:
    from inspect_ai.log import EvalSample

Answer = TypeVar("Answer")
_ZIP_MAGIC = b"PK\x03\x04"


class InspectLog:
    """One log, opened with ``open_log``."""

    def __init__(self, source: Source, path: Path, format: Literal["eval", "json"], thread: ThreadPoolExecutor) -> None:
        self._source, self._path, self._format, self._thread = source, path, format, thread
        self._log = self._run("the whole file", _library)

    def header(self) -> Record:
        """Everything that the log says of all its samples."""
        log = self._run(
            "the header", lambda: self._log.read_eval_log(self._path, header_only=True, format=self._format)
        )
        return Record(_plain(log, "the header"), "the header")

    def samples(self) -> Iterator[Record]:
        """The samples one by one, what is attached to them put back in its places."""
        if self._format == "json":
            yield from self._of_json()
            return
        _check_sizes(self._path)
        summaries = self._run(
            "the summaries", lambda: self._log.read_eval_log_sample_summaries(self._path, format="eval")
        )
        for number, summary in enumerate(summaries, start=1):
            place = f"sample {summary.id!r}, epoch {summary.epoch}"
            sample = self._run(place, partial(self._sample, summary.id, summary.epoch))
            self._source.tell(number / len(summaries))
            yield Record(_plain(sample, place), place)

    def _sample(self, id: int | str, epoch: int) -> EvalSample:
        sample: EvalSample = self._log.read_eval_log_sample(
            self._path, id=id, epoch=epoch, resolve_attachments=True, format="eval"
        )
        return sample

    def _of_json(self) -> Iterator[Record]:
        """The samples of a log that is one JSON document, without the rest of it in memory."""
        stream = JsonStream(self._source)
        for key in stream.fields():
            if key != "samples" or not stream.starts_with("["):
                stream.value(key, checked=False)
                continue
            for path, value in stream.elements(key, checked=False):
                sample = self._run(path, partial(self._validated, value))
                yield Record(_plain(sample, path), path)
        stream.end()

    def _validated(self, value: Any) -> EvalSample:
        sample: EvalSample = self._log.EvalSample.model_validate(value)
        resolved: EvalSample = self._log.resolve_sample_attachments(sample, True)
        return resolved

    def _run(self, place: str, ask: Callable[[], Answer]) -> Answer:
        try:
            return self._thread.submit(_quietly, ask).result()
        except UsageError:
            raise
        except Exception as error:  # what a library raises over a damaged file is not to be listed
            raise Refusal(place, f"inspect_ai cannot read it: {_first_line(error)}") from error


@contextmanager
def open_log(source: Source) -> Iterator[InspectLog]:
    """A log of either format, told by its content; a compressed one is unpacked beside."""
    start = next(source.chunks(), b"")
    is_zip = start.startswith(_ZIP_MAGIC)
    if not is_zip and not start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        raise Refusal("byte 0", "not a log of Inspect: neither an .eval archive nor a JSON object")
    with TemporaryDirectory(prefix="matrix-inspect-") as folder, ThreadPoolExecutor(1) as thread:
        # Under a name of ours: the library takes some signs in a path for another file system's.
        path = Path(folder) / ("log.eval" if is_zip else "log.json")
        _put(source, path)
        yield InspectLog(source, path, "eval" if is_zip else "json", thread)
    for _ in source.chunks():  # refuses a file that was changed while the library read it
        pass


def _put(source: Source, path: Path) -> None:
    """The log at this path: a link to it, or what is inside of a compressed one."""
    try:
        if not source.compression:
            path.symlink_to(source.path.resolve())
            return
        with path.open("wb") as file:
            for chunk in source.chunks():
                file.write(chunk)
    except OSError as error:
        raise Refusal("the file", f"cannot be unpacked into {path.parent}: {error.strerror or error}") from error


def _library() -> ModuleType:
    try:
        import inspect_ai.log
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "inspect_ai":
            raise
        raise UsageError("this needs inspect-ai: pip install 'matrix-runtime[inspect]'") from None
    return inspect_ai.log


def _quietly(ask: Callable[[], Answer]) -> Answer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ask()


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _plain(model: Any, place: str) -> dict[str, Any]:
    """What the library made of a part of the log, as JSON values that an event can hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value: dict[str, Any] = model.model_dump(mode="json", exclude_none=True)
    if nesting(value) > IMPORT_DEPTH_MAX:
        raise Refusal(place, f"nested {nesting(value)} deep, at most {IMPORT_DEPTH_MAX} can be kept")
    if not is_text(value):
        raise Refusal(place, "holds half a surrogate pair: not text")
    return value


def _check_sizes(path: Path) -> None:
    """Refuse an archive of which a part would not fit in memory when it is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            largest = max(archive.infolist(), key=lambda part: part.file_size, default=None)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Refusal("the archive", f"the file is cut off or damaged: {error}") from error
    if largest is not None and largest.file_size > IMPORT_ELEMENT_CHARS_MAX:
        what = f"it has {largest.file_size:,} bytes, at most {IMPORT_ELEMENT_CHARS_MAX:,} can be read"
        raise Refusal(f"{largest.filename} in the archive", what)
