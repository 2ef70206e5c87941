"""`python -m rapport` is the `rapport` command."""

from rapport.cli import main

__all__: list[str] = []

main()
