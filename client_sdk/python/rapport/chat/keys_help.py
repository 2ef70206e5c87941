"""The keys of the full screen, told to the person."""

from typing import Final

__all__ = ["KEYS_HELP"]

KEYS_HELP: Final = """\
Enter sends, Alt-Enter or Ctrl-J begins a new line. PgUp and PgDn turn pages, End goes to the newest message.
Ctrl-N and Ctrl-P go to the next and previous conversation. Esc puts away what is in front. Ctrl-C leaves at once.
While a command that needs a message is typed, numbers stand before the messages; without one it means the newest."""
