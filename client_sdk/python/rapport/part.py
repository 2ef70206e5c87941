"""What the parts of `Client` have in common: the engine, once the client runs."""

from rapport.engine.link.loop import Engine
from rapport_protocol.errors import ErrorCode, LocalError

__all__ = ["Part"]


class Part:
    """A part of `Client`: some of its methods, which belong together and work with the engine."""

    _engine: Engine | None = None

    @property
    def _running(self) -> Engine:
        """The engine. LocalError(INTERNAL) outside of the client's `async with` block."""
        if self._engine is None:
            raise LocalError(ErrorCode.INTERNAL, "the client is used outside its `async with` block")
        return self._engine
