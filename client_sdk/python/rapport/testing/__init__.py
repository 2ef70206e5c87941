"""For those who test what they build on Rapport: a server in the test's process, a clock to move, journals, a checker.

    import rapport, rapport.testing

    async with rapport.testing.server() as server:
        await rapport.join(await server.owner_link(), vault=folder / "weiss", name="Dr. Weiss")

`rapport.testing.fixtures` has the same for pytest.
"""

from rapport.testing.clock import FakeClock
from rapport.testing.local import LocalServer, ServerMissing, server

__all__ = ["FakeClock", "LocalServer", "ServerMissing", "server"]
