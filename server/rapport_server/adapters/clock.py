"""The machine's own clock."""

import time

__all__ = ["SystemClock"]


class SystemClock:
    """Clock port over the operating system; adapter of `rapport_server.ports.Clock`."""

    def now_ms(self) -> int:
        """Milliseconds of Unix time."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()
