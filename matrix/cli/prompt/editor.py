"""The line being typed: a text of one or more lines, a menu of completions, and what is wrong below it.

    runs> agents where rol = buyer
                       ‾‾‾
    agents have no field "rol"
    did you mean "role"? Your own data starts with a dot: .rol
     Ctrl-F  agents where role = buyer

Enter asks when the query is whole, begins a line when it is right so far, and else shows the mistake.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from typing import TYPE_CHECKING

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completion, get_common_complete_suffix
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, has_completions, is_done
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    Dimension,
    Float,
    FloatContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.menus import CompletionsMenu
from prompt_toolkit.layout.processors import HighlightIncrementalSearchProcessor, HighlightMatchingBracketProcessor
from prompt_toolkit.utils import get_cwidth
from prompt_toolkit.widgets import SearchToolbar

from matrix.cli.prompt.colours import STYLE, QueryLexer, UnderlineMistake
from matrix.cli.prompt.draft import CONTINUES, Draft

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.history import History

MENU_LINES = 8
CONTINUATION = "… "


class Editor:
    """Reads one text after the other; `kinds` are the kinds to colour, and may be changed between two texts."""

    def __init__(self, name: str, *, draft: Draft, completer: Completer, history: History) -> None:
        self.kinds: Collection[str] = ()
        self._draft = draft
        self._prompt = f"{name}> "
        self.buffer = Buffer(
            completer=completer,
            complete_while_typing=True,
            history=history,
            multiline=True,
            accept_handler=self._accept,
        )
        self.app: Application[str] = Application(
            layout=self._layout(),
            key_bindings=self._keys(),
            style=STYLE,
            erase_when_done=False,
        )

    def read(self) -> str:
        """The next text that was entered; EOFError when the user leaves."""
        self._draft.begin()
        self.buffer.reset()
        return self.app.run()

    def _accept(self, buffer: Buffer) -> bool:
        self.app.exit(result=buffer.text)
        return True  # the text stays on the screen

    # -- what is seen -----------------------------------------------------------------------------

    def _layout(self) -> Layout:
        search = SearchToolbar(ignore_case=True)
        control = BufferControl(
            buffer=self.buffer,
            lexer=QueryLexer(lambda: self.kinds),
            input_processors=[
                HighlightIncrementalSearchProcessor(),
                HighlightMatchingBracketProcessor(),
                UnderlineMistake(self._draft),
            ],
            include_default_input_processors=True,
            search_buffer_control=search.control,
            preview_search=True,
        )
        text = Window(control, wrap_lines=True, dont_extend_height=True, get_line_prefix=self._prefix)
        below = Window(FormattedTextControl(self._said), wrap_lines=True, dont_extend_height=True)
        room = Window(height=lambda: Dimension(min=MENU_LINES if has_completions() else 0))
        menu = Float(CompletionsMenu(max_height=MENU_LINES, scroll_offset=1), xcursor=True, ycursor=True)
        unfinished = ConditionalContainer(HSplit([below, search, room]), filter=~is_done)
        return Layout(FloatContainer(HSplit([text, unfinished]), floats=[menu]), focused_element=text)

    def _prefix(self, line: int, wrapped: int) -> StyleAndTextTuples:
        if line == 0 and wrapped == 0:
            return [("class:prompt", self._prompt)]
        mark = "" if wrapped else CONTINUATION
        return [("class:dim", mark.rjust(get_cwidth(self._prompt)))]

    def _said(self) -> StyleAndTextTuples:
        """What stands below the text."""
        text = self.buffer.text
        error = self._draft.shown(text, self.buffer.cursor_position)
        if error is None:
            return [("class:dim", self._draft.expected(text))]
        width = self.app.output.get_size().columns - 1
        said: StyleAndTextTuples = [("class:message", textwrap.fill(error.message, width))]
        if error.hint:
            said.append(("class:hint", "\n" + textwrap.fill(error.hint, width)))
        if error.fix:
            said += [("", "\n"), ("class:key", " Ctrl-F "), ("", f" {error.fix}")]
        return said

    # -- keys -------------------------------------------------------------------------------------

    def _keys(self) -> KeyBindings:
        keys, buffer, draft = KeyBindings(), self.buffer, self._draft
        is_fixable = Condition(lambda: self._fix() != "")
        is_empty = Condition(lambda: not buffer.text)
        is_typing = Condition(lambda: self.app.layout.has_focus(buffer))

        @keys.add("enter", filter=is_typing)
        def enter(event: KeyPressEvent) -> None:
            self._enter()

        @keys.add("tab", filter=is_typing)
        def complete(event: KeyPressEvent) -> None:
            self._complete()

        @keys.add("escape", "enter", filter=is_typing)
        def new_line(event: KeyPressEvent) -> None:
            buffer.insert_text("\n")

        @keys.add("c-f", filter=is_typing & is_fixable)
        def take_the_fix(event: KeyPressEvent) -> None:
            fix = self._fix()
            buffer.save_to_undo_stack()
            buffer.document = Document(fix, len(fix))

        @keys.add("c-c")
        @keys.add(Keys.SIGINT)
        def clear(event: KeyPressEvent) -> None:
            event.app.layout.focus(buffer)
            draft.begin()
            buffer.reset()

        @keys.add("c-d", filter=is_typing & is_empty)
        def leave(event: KeyPressEvent) -> None:
            event.app.exit(exception=EOFError)

        @keys.add("c-z", filter=Condition(lambda: hasattr(self.app, "suspend_to_background")))
        def suspend(event: KeyPressEvent) -> None:
            event.app.suspend_to_background()

        return keys

    def _fix(self) -> str:
        error = self._draft.shown(self.buffer.text, self.buffer.cursor_position)
        return error.fix if error is not None else ""

    def _complete(self) -> None:
        """The only word that begins so, or what all that do have in common; then a menu of all that fit."""
        buffer = self.buffer
        menu = buffer.complete_state
        if menu is not None and menu.current_completion is not None:
            buffer.complete_next()
            return
        # Asked here and now: the menu's own answer comes later, and keys typed fast would be too late for it.
        fitting = list(buffer.completer.get_completions(buffer.document, CompleteEvent(completion_requested=True)))
        begun = [each for each in fitting if self._begins(each)] or fitting
        if len(begun) == 1:
            buffer.apply_completion(begun[0])
        elif common := get_common_complete_suffix(buffer.document, begun):
            buffer.insert_text(common)
        elif menu is not None:
            buffer.complete_next()
        else:
            buffer.start_completion()

    def _begins(self, offered: Completion) -> bool:
        """Whether the word before the cursor is how this one begins."""
        written = self.buffer.document.text_before_cursor[self.buffer.cursor_position + offered.start_position :]
        return offered.text.lower().startswith(written.lower())

    def _enter(self) -> None:
        buffer = self.buffer
        menu = buffer.complete_state
        if menu is not None and menu.current_completion is not None and len(menu.completions) > 1:
            buffer.complete_state = None  # the chosen word stands in the text already
            return
        buffer.cancel_completion()
        error = self._draft.mistake(buffer.text)
        if error is None:
            buffer.validate_and_handle()
            return
        last_line = buffer.text.rpartition("\n")[2]
        if error.code in CONTINUES and last_line.strip() and not buffer.document.text_after_cursor.strip():
            buffer.cursor_position = len(buffer.text)
            buffer.insert_text("\n")
            return
        self._draft.refuse(buffer.text)
        buffer.cursor_position = error.start
