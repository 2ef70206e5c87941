"""Waking devices that are not connected: `rules` say whether, `service` does it."""

from rapport_server.services.notifying.service import PUSH_TIMER, Notifying

__all__ = ["PUSH_TIMER", "Notifying"]
