"""The machine's own clocks."""

import time

__all__ = ["SystemClock"]


class SystemClock:
    """`rapport.ports.Clock` on the operating system's clocks."""

    def now_ms(self) -> int:
        """Unix time in milliseconds; may jump."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()
