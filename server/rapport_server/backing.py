"""The store and the bus that are configured.

Packages that only several nodes need are asked for here, where it can be said which one is missing.
"""

from pathlib import Path

from rapport_server.adapters.local_bus import LocalBus, LocalRoster
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.config import Config, ConfigurationProblem
from rapport_server.ports import Bus, Clock, Roster, Store

__all__ = ["open_bus", "open_store"]


def open_store(config: Config, clock: Clock) -> Store:
    """The configured store, created but not started. Raises ConfigurationProblem with one sentence."""
    if not config.store.url:
        return SqliteStore(Path(config.store.path), clock)
    try:
        from rapport_server.adapters.store.postgres import PostgresStore  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as missing:
        raise ConfigurationProblem(f"store.url needs a package that is not installed: {missing.name}") from None
    return PostgresStore(config.store.url, clock)


def open_bus(config: Config, store: Store) -> tuple[Bus, Roster]:
    """The configured bus and its roster, created but not started. Raises ConfigurationProblem with one sentence."""
    if not config.bus.url:
        return LocalBus(), LocalRoster()
    try:
        from rapport_server.adapters.redis import RedisBus, RedisRoster  # noqa: PLC0415 - an extra: single nodes lack it
    except ModuleNotFoundError as missing:
        raise ConfigurationProblem(f"bus.url needs a package that is not installed: {missing.name}") from None
    bus = RedisBus(config.bus.url, config.bus.namespace, store.server_seed)
    return bus, RedisRoster(bus)
