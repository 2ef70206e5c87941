"""The send path and the delivery path: what happens between a device's socket and the mailbox.

`sending` takes posts, directs and acknowledgements to the mailbox as jobs and answers once they come back synced;
`delivery` hands what was accepted to the devices that are connected, and streams to the others from the mailbox, so
that a slow, absent or reconnecting device loses nothing and holds up nobody; `links` is what both know of a connection.

Source: docs/protocol.md, sections 12.3 and 12.4.
"""

from rapport_server.services.messaging.delivery import Delivery
from rapport_server.services.messaging.links import ACKNOWLEDGING, BLOCKED_CONVERSATIONS, Connection, Link
from rapport_server.services.messaging.sending import Messaging

__all__ = ["ACKNOWLEDGING", "BLOCKED_CONVERSATIONS", "Connection", "Delivery", "Link", "Messaging"]
