"""What the server counts and times.

Labels are names of the contract only: never an id, an address or anything a person wrote.
"""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["Figures"]

_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Figures:
    """The figures of one server, in a registry of their own."""

    content_type: Final = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        """Further collectors are registered here; keep their labels bounded."""
        self._requests = Counter(
            "rapport_http_requests_total",
            "HTTP requests by operation and status.",
            ("operation", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "rapport_http_request_seconds",
            "Time to answer an HTTP request.",
            ("operation",),
            registry=self.registry,
            buckets=_BUCKETS_S,
        )

    def answered(self, operation: str, status: int, seconds: float) -> None:
        """Counts one HTTP request. operation: a name of the table, or `none` for an unknown path."""
        self._requests.labels(operation, str(status)).inc()
        self._seconds.labels(operation).observe(seconds)

    def follow(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Shows a number that is kept elsewhere; `read` is called at each scrape, in the event loop."""
        Gauge(f"rapport_{name}", about, registry=self.registry).set_function(read)

    def page(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self.registry)
