"""The server's clock as this device knows it: what every time stamp and limit is measured by."""

from rapport.ports import Clock

__all__ = ["ServerClock"]


class ServerClock:
    """Our own clock until the first sign-in, then the server's time carried forward by our monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base_ms = clock.now_ms()
        self._since = clock.monotonic()

    def now_ms(self) -> int:
        """Milliseconds of Unix time."""
        return self._base_ms + int((self._clock.monotonic() - self._since) * 1000)

    def moment(self) -> float:
        """Now, for `set`; seconds of our monotonic clock."""
        return self._clock.monotonic()

    def set(self, server_time_ms: int, moment: float) -> None:
        """It was this time when the server said so, at `moment`. Only for what the pinned server has signed."""
        self._base_ms = server_time_ms
        self._since = moment
