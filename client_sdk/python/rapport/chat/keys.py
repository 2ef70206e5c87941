"""Which key does what on the full screen. Everything works by keyboard alone; the composer keeps its usual keys."""

from typing import Final, Protocol

from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

__all__ = ["HINT", "SHORT_HINT", "Keyboard", "bindings"]

HINT: Final = "/help   PgUp earlier   Ctrl-N next conversation   Ctrl-C leave"
"""The lowest line while there is nothing more important to say."""
SHORT_HINT: Final = "/help   PgUp earlier   Ctrl-C leave"
"""The same on a narrow screen."""


class Keyboard(Protocol):
    """What keys can do."""

    def accept(self) -> None:
        """The person has finished what they were typing."""

    def turn(self, pages: int) -> None:
        """Goes back by so many pages, forward when negative."""

    def to_end(self) -> None:
        """Goes to the newest message."""

    def step(self, by: int) -> None:
        """Goes to the next (1) or previous (-1) conversation."""

    def put_away(self) -> None:
        """Puts away what is in front: a question, a sheet, a notice."""

    def leave(self) -> None:
        """Ends the program."""


def bindings(keyboard: Keyboard, empty: Condition) -> KeyBindings:
    """The keys. empty: nothing is typed."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(_: KeyPressEvent) -> None:
        keyboard.accept()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("pageup")
    def _(_: KeyPressEvent) -> None:
        keyboard.turn(1)

    @keys.add("pagedown")
    def _(_: KeyPressEvent) -> None:
        keyboard.turn(-1)

    @keys.add("end", filter=empty)
    def _(_: KeyPressEvent) -> None:
        keyboard.to_end()

    @keys.add("c-n")
    def _(_: KeyPressEvent) -> None:
        keyboard.step(1)

    @keys.add("c-p")
    def _(_: KeyPressEvent) -> None:
        keyboard.step(-1)

    @keys.add("escape")
    def _(_: KeyPressEvent) -> None:
        keyboard.put_away()

    @keys.add("c-c")
    @keys.add("c-d", filter=empty)
    def _(_: KeyPressEvent) -> None:
        keyboard.leave()

    return keys
