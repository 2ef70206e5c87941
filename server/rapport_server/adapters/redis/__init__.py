"""Bus and roster of several nodes over Redis.

`servers` talks to Redis (alone, behind Sentinel, a Cluster), `membership` and `entries` are what nodes know of each
other, `outbox` and `frames` are hints on their way, `bus` and `roster` the ports.
"""

from rapport_server.adapters.redis.bus import RedisBus
from rapport_server.adapters.redis.roster import RedisRoster

__all__ = ["RedisBus", "RedisRoster"]
