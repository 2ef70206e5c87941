"""Rapport's end-to-end encryption, one file per chapter of docs/protocol.md; pure: no I/O, no clock.

Randomness comes in as `random(size) -> bytes`, time as integer milliseconds. States are frozen values: a call returns
the next state or raises, and then nothing has happened.
"""

__all__: list[str] = []
