"""Waking devices that are not connected: `rules` say whether, `service` does it, `owed` does it until it is done."""

from rapport_server.services.notifying.owed import OWED_TIMER, OwedPushes
from rapport_server.services.notifying.service import PUSH_TIMER, Notifying

__all__ = ["OWED_TIMER", "PUSH_TIMER", "Notifying", "OwedPushes"]
