"""What may come next, in a menu: the store's own answer for queries, names for commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from matrix.cli.prompt.draft import is_command
from matrix.errors import MatrixError

if TYPE_CHECKING:
    from matrix.query.complete import Completion as Offer


class PromptCompleter(Completer):
    """Offers what ``Store.complete`` offers; while typing only once a word has begun, on Tab always."""

    def __init__(
        self, offers: Callable[[str, int], list[Offer]], commands: Callable[[str], list[tuple[str, str]]]
    ) -> None:
        self._offers, self._commands = offers, commands

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        before = document.text_before_cursor
        if is_command(before):
            word = before.rpartition(" ")[2]
            for text, detail in self._commands(before.lstrip()):
                yield Completion(text, start_position=-len(word), display_meta=detail)
            return
        try:
            offers = self._offers(document.text, document.cursor_position)
        except MatrixError:  # a store that cannot be read says so when it is asked; here it only offers nothing
            return
        if not complete_event.completion_requested:
            offers = [offer for offer in offers if offer.start < document.cursor_position]
        if len(offers) == 1 and offers[0].text == document.text[offers[0].start : document.cursor_position]:
            return  # it stands there already
        for offer in offers:
            text, behind = offer.text, document.text[document.cursor_position : offer.end]
            if behind and text.endswith(behind):
                text = text[: -len(behind)]  # the rest of the word stands behind the cursor
            yield Completion(
                text, offer.start - document.cursor_position, display=offer.text, display_meta=offer.detail
            )
