"""Waiting rooms: who knocks, who is let in, who is told.

`rules` decides, `service` looks up what they need and writes it, `links` keeps join links, `news` tells devices.

Source: docs/protocol.md, chapter 23.
"""

from rapport_server.services.rooms.links import RoomLinks
from rapport_server.services.rooms.news import RoomNews
from rapport_server.services.rooms.service import Rooms

__all__ = ["RoomLinks", "RoomNews", "Rooms"]
