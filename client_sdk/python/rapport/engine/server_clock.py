"""The server's clock as this device knows it: what every time stamp and limit is measured by."""

from rapport.ports import Clock

__all__ = ["ServerClock"]


class ServerClock:
    """Our own clock until the first challenge, then the server's time carried forward by our monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base_ms = clock.now_ms()
        self._since = clock.monotonic()

    def now_ms(self) -> int:
        """Milliseconds of Unix time."""
        return self._base_ms + int((self._clock.monotonic() - self._since) * 1000)

    def set(self, server_time_ms: int) -> None:
        """The server has just said what time it is."""
        self._base_ms = server_time_ms
        self._since = self._clock.monotonic()
