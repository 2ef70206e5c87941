"""The parts of the full screen: which painter stands where. What they paint comes from the pure functions."""

from collections.abc import Callable, Sequence
from typing import Final

from prompt_toolkit.application import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import (
    AnyContainer,
    BufferControl,
    ConditionalContainer,
    Dimension,
    Float,
    FloatContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    UIContent,
    UIControl,
    VSplit,
    Window,
)
from prompt_toolkit.layout.menus import CompletionsMenu
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.styles import Style

from rapport.chat.commands import COMMANDS
from rapport.chat.layout import Line

__all__ = ["LIST_FROM", "STYLE", "CommandNames", "Parts", "put_together"]

LIST_FROM: Final = 60
"""Columns from which the list of conversations has room beside the open one."""
_COMPOSER_MOST: Final = 6
_COMPOSER_MOST_LOW: Final = 3
_STATUS_MOST: Final = 6
"""Lines under the composer: three of the promise, three of the connection."""
_STATUS_LOW: Final = 3
_LOW: Final = 20
"""Rows below which the composer grows less."""

STYLE: Final = Style.from_dict(
    {
        "title": "bold",
        "name": "bold",
        "name.own": "bold ansimagenta",
        "time": "dim",
        "mark": "dim",
        "hint": "dim",
        "quote": "dim",
        "reaction": "",
        "ghost": "italic",
        "failed": "bold ansired",
        "day": "dim",
        "rule": "dim",
        "new": "bold ansimagenta",
        "number": "bold",
        "row.here": "bold",
        "row.unread": "bold",
        "notice": "reverse",
        "flash": "italic",
        "status": "reverse",
        "promise": "",
        "under": "italic",
        "question": "bold",
        "prompt": "bold ansimagenta",
        "qr": "fg:#ffffff bg:#000000",
        "completion-menu": "noinherit",
        "completion-menu.completion.current": "noinherit reverse",
        "completion-menu.meta.completion": "noinherit dim",
        "completion-menu.meta.completion.current": "noinherit reverse",
        "scrollbar.background": "noinherit",
        "scrollbar.button": "noinherit",
    }
)
"""Few colours, and none that says what words do not: the screen reads the same without them."""


class _Painted(UIControl):
    """Paints what a function of the size says. fills: takes whatever room there is; else as much as it has to say."""

    def __init__(self, paint: Callable[[int, int], Sequence[Line]], *, fills: bool = False) -> None:
        self._paint = paint
        self._fills = fills

    def preferred_height(
        self,
        width: int,
        max_available_height: int,
        wrap_lines: bool,  # noqa: ARG002
        get_line_prefix: object,  # noqa: ARG002
    ) -> int | None:
        """As many lines as there are to paint; None when that is settled by the room there is."""
        return None if self._fills else len(self._paint(width, max_available_height))

    def create_content(self, width: int, height: int) -> UIContent:
        """The lines, as many as there is room for."""
        lines: list[StyleAndTextTuples] = [[*line] for line in self._paint(width, height)[:height]]
        return UIContent(get_line=lambda at: lines[at], line_count=len(lines), show_cursor=False)


class CommandNames(Completer):
    """Offers the commands while the first word of a line that begins with a slash is typed."""

    def get_completions(
        self,
        document: Document,
        complete_event: CompleteEvent,  # noqa: ARG002
    ) -> list[Completion]:
        """Those that begin with what stands before the cursor."""
        typed = document.text_before_cursor
        if not typed.startswith("/") or " " in typed or "\n" in typed:
            return []
        return [
            Completion(f"/{name}", start_position=-len(typed), display_meta=command.summary)
            for name, command in COMMANDS.items()
            if name.startswith(typed[1:])
        ]


class Parts:
    """The painters of a screen; each is asked for its lines whenever something has changed."""

    def __init__(
        self,
        rows: Callable[[int, int], Sequence[Line]],
        head: Callable[[int, int], Sequence[Line]],
        thread: Callable[[int, int], Sequence[Line]],
        sheet: Callable[[int, int], Sequence[Line]],
        said: Callable[[int, int], Sequence[Line]],
        edge: Callable[[int, int], Sequence[Line]],
        status: Callable[[int, int], Sequence[Line]],
    ) -> None:
        self.rows, self.head, self.thread, self.sheet = rows, head, thread, sheet
        self.said, self.edge, self.status = said, edge, status


def put_together(parts: Parts, composer: Buffer, prompt: Callable[[], str], sheet_open: Callable[[], bool]) -> Layout:
    """The screen: list and conversation (or a sheet over both), what was said last, the composer, the connection."""
    wide = Condition(lambda: get_app().output.get_size().columns >= LIST_FROM)
    sheet = Condition(sheet_open)
    conversation = HSplit([Window(_Painted(parts.head), height=1), _rule(), Window(_Painted(parts.thread, fills=True))])
    beside = VSplit(
        [
            ConditionalContainer(
                VSplit(
                    [
                        HSplit(
                            [_label(" Conversations"), _rule(), Window(_Painted(parts.rows, fills=True))],
                            width=_list_width,
                        ),
                        HSplit([_corner("│"), _corner("┼"), Window(width=1, char="│", style="class:rule")]),
                    ]
                ),
                filter=wide,
            ),
            conversation,
        ]
    )
    writing = Window(
        BufferControl(composer, input_processors=[BeforeInput(prompt, style="class:prompt")]),
        height=_composer_height,
        dont_extend_height=True,
        wrap_lines=True,
    )
    body: list[AnyContainer] = [
        ConditionalContainer(beside, filter=~sheet),
        ConditionalContainer(Window(_Painted(parts.sheet, fills=True)), filter=sheet),
        Window(_Painted(parts.said), dont_extend_height=True, height=_said_height),
        Window(_Painted(parts.edge), height=1),
        writing,
        Window(_Painted(parts.status), dont_extend_height=True, height=_status_height),
    ]
    menu = Float(CompletionsMenu(max_height=8, scroll_offset=1), left=1, bottom=3)
    return Layout(FloatContainer(HSplit(body), floats=[menu]), focused_element=writing)


def _rule() -> Window:
    return Window(height=1, char="─", style="class:rule")


def _corner(sign: str) -> Window:
    return Window(width=1, height=1, char=sign, style="class:rule")


def _label(text: str) -> Window:
    return Window(FormattedTextControl([("class:mark", text)]), height=1)


def _list_width() -> Dimension:
    return Dimension.exact(min(get_app().output.get_size().columns // 3, 28))


def _composer_height() -> Dimension:
    low = get_app().output.get_size().rows < _LOW
    return Dimension(min=1, max=_COMPOSER_MOST_LOW if low else _COMPOSER_MOST)


def _status_height() -> Dimension:
    return Dimension(min=1, max=_STATUS_LOW if get_app().output.get_size().rows < _LOW else _STATUS_MOST)


def _said_height() -> Dimension:
    return Dimension(min=0, max=max(get_app().output.get_size().rows // 2, 3))
