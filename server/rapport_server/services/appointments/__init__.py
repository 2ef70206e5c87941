"""Appointments: agreed, told, remembered, counted.

`rules` decides, `calendar_file` writes calendars, `service` looks up what they need, keeps it and tells it.

Source: docs/protocol.md, chapter 22.
"""

from rapport_server.services.appointments.service import CALENDAR_PATH, Appointments

__all__ = ["CALENDAR_PATH", "Appointments"]
