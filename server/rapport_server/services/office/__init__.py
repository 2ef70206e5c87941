"""Office hours: what therapists publish, who is told of it, and what it means for the server itself.

`publishing` checks and keeps signed documents, `holidays` lists public holidays for the editor. `board` knows when an
office opens or closes next, `watching` who is told of which office; `news` looks up what these two need and hands on
what they say.

Source: docs/protocol.md, chapter 15.
"""

from rapport_server.services.office.news import OfficeNews
from rapport_server.services.office.publishing import Publishing

__all__ = ["OfficeNews", "Publishing"]
