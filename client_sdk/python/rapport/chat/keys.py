"""Which key does what on the full screen. Everything works by keyboard alone; the composer keeps its usual keys."""

from typing import Final, Protocol

from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

__all__ = ["HINT", "KEYS_HELP", "Keyboard", "bindings"]

HINT: Final = "/help   PgUp earlier   Ctrl-N next conversation   Ctrl-C leave"
"""The lowest line while there is nothing more important to say."""
KEYS_HELP: Final = """\
Enter sends, Alt-Enter or Ctrl-J begins a new line. PgUp and PgDn turn pages, End goes to the newest message.
Ctrl-N and Ctrl-P go to the next and previous conversation. Esc puts away what is in front. Ctrl-C leaves at once.
While a command that needs a message is typed, numbers stand before the messages; without one it means the newest."""


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
    def _(event: KeyPressEvent) -> None:
        keyboard.accept()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("pageup")
    def _(event: KeyPressEvent) -> None:
        keyboard.turn(1)

    @keys.add("pagedown")
    def _(event: KeyPressEvent) -> None:
        keyboard.turn(-1)

    @keys.add("end", filter=empty)
    def _(event: KeyPressEvent) -> None:
        keyboard.to_end()

    @keys.add("c-n")
    def _(event: KeyPressEvent) -> None:
        keyboard.step(1)

    @keys.add("c-p")
    def _(event: KeyPressEvent) -> None:
        keyboard.step(-1)

    @keys.add("escape")
    def _(event: KeyPressEvent) -> None:
        keyboard.put_away()

    @keys.add("c-c")
    @keys.add("c-d", filter=empty)
    def _(event: KeyPressEvent) -> None:
        keyboard.leave()

    return keys
