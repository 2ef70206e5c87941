"""Every setting of the server in one place: default, unit, reason.

Values come from defaults < `rapport.toml` < environment (`RAPPORT_SECTION__KEY`) < flags; `config_sources.py` reads
them.
Source: docs/configuration.md, generated from this file.
"""

import ipaddress
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

__all__ = [
    "CONFIGURATION_EXIT",
    "Bus",
    "Config",
    "ConfigurationProblem",
    "Limits",
    "Log",
    "Metrics",
    "Notifications",
    "Presence",
    "RateLimit",
    "RateLimits",
    "Server",
    "Store",
    "Turn",
    "Web",
    "Webhooks",
    "check",
    "is_loopback",
    "networks_of",
    "origin_of",
]

CONFIGURATION_EXIT: Final = 78
"""Exit code of a configuration that cannot be used (EX_CONFIG of sysexits.h)."""


class ConfigurationProblem(Exception):
    """The configuration cannot be used. Its text is one sentence for the operator."""


def _about(description: str, unit: str = "") -> Meta:
    """What the reference and the JSON schema say of a setting."""
    return Meta(description=description, extra_json_schema={"x-unit": unit} if unit else None)


_Port = Meta(ge=0, le=65_535)
_AtLeastOne = Meta(ge=1)
_Positive = Meta(gt=0)
_NotNegative = Meta(ge=0)
_SECRET_LEAST: Final = 16


class Server(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the server listens and how it is reached."""

    host: Annotated[str, _about("Address to listen on. Anything but loopback needs `trust_proxy`.")] = "127.0.0.1"
    port: Annotated[
        int,
        _Port,
        _about("TCP port for HTTP and WebSocket. 0 lets the system choose; the ready line says which."),
    ] = 8470
    public_url: Annotated[
        str,
        _about(
            "Scheme, host and port under which people reach the server. It stands in links and in what devices sign "
            "when they sign in, so that a sign-in cannot be relayed from another name. Empty: from `host` and `port`."
        ),
    ] = ""
    origins: Annotated[
        list[str],
        _about(
            "Further web origins whose pages may talk to this server, beside `public_url`. Any other `Origin` header "
            "is refused; none at all is allowed, because every request proves itself by a signature or a bearer token."
        ),
    ] = []
    trust_proxy: Annotated[
        bool,
        _about(
            "A proxy of yours that speaks TLS stands in front: clear text off loopback is then allowed, and the last "
            "address of `X-Forwarded-For` is taken for the client's."
        ),
    ] = False
    lan: Annotated[
        bool,
        _about(
            "For phones on the local network, to try things out: https at this machine's address by a certificate "
            "authority of its own, which is handed out on the next higher port. docs/operate.md says how to trust it."
        ),
    ] = False
    workers: Annotated[
        int,
        _AtLeastOne,
        _about(
            "Processes that share the port, one per core. More than one needs `store.url` and `bus.url`; their "
            "`/metrics` are on consecutive ports."
        ),
    ] = 1
    reuse_port: Annotated[
        bool,
        _about(
            "Lets another server of the same user listen on the same address and port (SO_REUSEPORT): the system "
            "shares new connections out. Workers have it anyway. Needs `store.url` and `bus.url`."
        ),
    ] = False
    drain_wait_s: Annotated[
        float,
        _NotNegative,
        _about(
            "Time between a signal to stop and the drain, in which everything goes on but `/readyz` answers 503: what "
            "a proxy or load balancer needs to notice and to send new connections elsewhere.",
            "seconds",
        ),
    ] = 0.0


class Store(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the truth lies."""

    path: Annotated[
        str,
        _about(
            "SQLite database file. `rapport init` creates it and its folder. Keep it on a local disk: a write-ahead "
            "log needs shared memory."
        ),
    ] = "rapport-data/rapport.db"
    url: Annotated[
        str,
        _about(
            "PostgreSQL database instead of the file: `postgresql://rapport:secret@host:5432/rapport`. The role must "
            "own no table; docs/operate.md says how to make it."
        ),
    ] = ""
    owner_url: Annotated[
        str,
        _about(
            "The same database as the role that owns the tables. Only `rapport init` and `rapport migrate` use it; "
            "keep it away from running servers."
        ),
    ] = ""


class Bus(Struct, frozen=True, forbid_unknown_fields=True):
    """How several processes or nodes tell each other what is new."""

    url: Annotated[
        str,
        _about(
            "Redis: `redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://host:26379,host:26379/name`, or "
            "`redis+cluster://host:6379,host:6379`; user and password before an `@`. Empty: this process is the only "
            "one. Nothing is kept there that could not be lost."
        ),
    ] = ""
    namespace: Annotated[
        str,
        Meta(min_length=1, max_length=32, pattern="^[a-z0-9-]+$"),
        _about("Begins every key and channel, so that several installations can share a Redis."),
    ] = "rapport"


class Presence(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may see that somebody is connected."""

    shown_to_clients: Annotated[
        bool,
        _about(
            "Whether clients see that their therapist is connected. Off, because it invites waiting for an answer: "
            "clients are meant to go by office hours."
        ),
    ] = False


class Metrics(Struct, frozen=True, forbid_unknown_fields=True):
    """Figures for Prometheus, on a port of their own so that a proxy never publishes them."""

    enabled: Annotated[bool, _about("Whether `/metrics` is served.")] = False
    host: Annotated[str, _about("Address to serve `/metrics` on. The figures hold no ids, names or texts.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, _Port, _about("TCP port of `/metrics`; 0 lets the system choose.")] = 8471


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What a peer may take of the server before it is cut off.

    Sizes and times that both sides must agree on are no settings: docs/protocol.md, "Limits".
    """

    header_s: Annotated[
        float,
        _Positive,
        _about("Time a new connection has to send a whole request head; slow heads hold sockets.", "seconds"),
    ] = 5.0
    body_s: Annotated[
        float,
        _Positive,
        _about("Time a request has to send its body: the largest one over a slow mobile line.", "seconds"),
    ] = 15.0
    keepalive_s: Annotated[
        float,
        _Positive,
        _about(
            "Time an idle HTTP connection is kept. Longer than the idle time of a proxy in front, which must be the "
            "one to close.",
            "seconds",
        ),
    ] = 75.0
    silent_connections: Annotated[
        int,
        _AtLeastOne,
        _about("Connections that may be open without having sent a request head; further ones are closed at once."),
    ] = 1000
    idle_connections: Annotated[
        int,
        _AtLeastOne,
        _about(
            "HTTP connections that may be kept alive without a request; beyond them the one idle longest is closed."
        ),
    ] = 1000
    answer_s: Annotated[
        float,
        _Positive,
        _about("Time a client has to take an answer in: a page of history over a slow mobile line.", "seconds"),
    ] = 60.0
    unauthenticated_connections: Annotated[
        int, _AtLeastOne, _about("WebSocket connections that may be open without having signed in.")
    ] = 1000
    unauthenticated_per_address: Annotated[
        int,
        _AtLeastOne,
        _about("The same for one address (IPv6: one /64); people behind one router share it."),
    ] = 20


class RateLimit(Struct, frozen=True, forbid_unknown_fields=True):
    """A budget: so many at once, and so many per second in the long run."""

    burst: Annotated[int, _AtLeastOne, _about("How many at once.")]
    per_s: Annotated[float, _Positive, _about("How many in the long run.", "1/second")]


class RateLimits(Struct, frozen=True, forbid_unknown_fields=True):
    """How often. More is refused `rate_limited` with the time to wait; nothing is stored then."""

    register: Annotated[
        RateLimit, _about("First registrations, per address: guessing invites or owner tokens must not pay.")
    ] = RateLimit(6, 1 / 30)
    invite_view: Annotated[RateLimit, _about("Looking at an invite before having an account, per address.")] = (
        RateLimit(20, 0.2)
    )
    invite_create: Annotated[RateLimit, _about("New invites, per account.")] = RateLimit(20, 1 / 60)
    devices: Annotated[RateLimit, _about("New device lists, per account: each wakes every contact.")] = RateLimit(
        10, 1 / 60
    )
    devices_restore: Annotated[RateLimit, _about("Device lists brought back to a restored server, per address.")] = (
        RateLimit(6, 1 / 30)
    )
    prekeys: Annotated[RateLimit, _about("Prekey uploads, per device.")] = RateLimit(20, 0.1)
    claims: Annotated[
        RateLimit, _about("Claims of prekey bundles, per device; one-time keys have narrower limits of the protocol.")
    ] = RateLimit(60, 1.0)
    link_open: Annotated[RateLimit, _about("Links opened for new devices, per account.")] = RateLimit(5, 1 / 30)
    link_step: Annotated[RateLimit, _about("Steps of links by existing devices, per device.")] = RateLimit(20, 0.2)
    link_answer: Annotated[RateLimit, _about("Steps of links by new devices, per address.")] = RateLimit(20, 0.2)
    link_state: Annotated[
        RateLimit, _about("Looking at a link, per address: both sides ask about once a second while one is open.")
    ] = RateLimit(100, 5.0)
    membership: Annotated[RateLimit, _about("Membership entries, per account.")] = RateLimit(20, 0.2)
    office: Annotated[RateLimit, _about("Office hours published, per account: each wakes every contact.")] = RateLimit(
        20, 0.1
    )
    push: Annotated[RateLimit, _about("Push subscriptions and quiet hours said anew, per device.")] = RateLimit(20, 0.1)
    urgent: Annotated[RateLimit, _about("Urgent messages confirmed, per account.")] = RateLimit(30, 0.5)
    appointments: Annotated[RateLimit, _about("Appointments, links, feeds, per account.")] = RateLimit(60, 0.5)
    rooms: Annotated[RateLimit, _about("Knocks, acts of hosts, reminders taken, per device.")] = RateLimit(60, 2.0)
    room_links: Annotated[RateLimit, _about("Join links opened, per account.")] = RateLimit(10, 1 / 30)
    calendar: Annotated[RateLimit, _about("Calendar feeds read, per address.")] = RateLimit(30, 0.2)
    read: Annotated[RateLimit, _about("Every other HTTP request, per device: lists, chains, history.")] = RateLimit(
        200, 20.0
    )
    connect: Annotated[RateLimit, _about("New WebSocket connections, per address.")] = RateLimit(60, 2.0)
    renew: Annotated[RateLimit, _about("Fresh HTTP tokens asked for on the stream, per device.")] = RateLimit(
        10, 1 / 60
    )
    post: Annotated[RateLimit, _about("Posts, per device: a burst after hours offline, then a person's pace.")] = (
        RateLimit(60, 1.0)
    )
    direct: Annotated[RateLimit, _about("Directs, per pair of devices.")] = RateLimit(30, 1.0)
    signal: Annotated[RateLimit, _about("Signals, per device; those over the limit are dropped silently.")] = RateLimit(
        50, 50.0
    )
    offer: Annotated[RateLimit, _about("Calls offered, per account.")] = RateLimit(10, 0.1)
    call: Annotated[
        RateLimit, _about("What a device says about calls: a word every five seconds while it is in one, and steps.")
    ] = RateLimit(60, 2.0)
    turn: Annotated[RateLimit, _about("Credentials of the relay, per account.")] = RateLimit(20, 1 / 6)
    turn_test: Annotated[RateLimit, _about("The same for the test of devices before an appointment, per account.")] = (
        RateLimit(1, 1 / 120)
    )
    present: Annotated[
        RateLimit, _about("Being seen differently, per device; beyond it the last word holds when its time comes.")
    ] = RateLimit(10, 0.2)
    watch: Annotated[
        RateLimit,
        _about(
            "Whose presence, and whose office hours, are told, per device and counted apart; beyond it the last word "
            "holds when its time comes."
        ),
    ] = RateLimit(20, 1.0)


class Turn(Struct, frozen=True, forbid_unknown_fields=True):
    """The relay through which calls go where there is no direct way (TURN, RFC 8656), or for clients always."""

    urls: Annotated[
        list[str],
        _about(
            "Addresses of the relay as RFC 7065 writes them: `turn:turn.example.org:3478?transport=udp`, "
            "`turns:turn.example.org:5349?transport=tcp`. Empty: none, and calls find direct ways alone."
        ),
    ] = []
    secret: Annotated[
        str,
        _about("coturn's `static-auth-secret`, at least 16 characters: it makes passwords that end by time."),
    ] = ""
    ttl_s: Annotated[
        int,
        Meta(ge=60, le=600),
        _about("Life of a password. The relay asks for it when a call begins or changes networks only.", "seconds"),
    ] = 600
    relay_only: Annotated[
        bool,
        _about("Whether clients' devices send media through the relay alone, so that nobody learns their address."),
    ] = True


class Web(Struct, frozen=True, forbid_unknown_fields=True):
    """The browser app that the server serves at its own address."""

    enabled: Annotated[bool, _about("Whether the app is served; without it the server only relays.")] = True
    embedders: Annotated[
        list[str],
        _about(
            "Web origins whose pages may show the app in a frame. Empty: none, so that nobody can lay a page over it."
        ),
    ] = []


class Notifications(Struct, frozen=True, forbid_unknown_fields=True):
    """Pushes to devices that are not connected (Web Push), and what keeps webhooks and push addresses unreadable."""

    key: Annotated[
        str,
        _about(
            "Seals push addresses and webhook secrets in the store: 32 bytes in base64url, or several with commas in "
            "between, the newest first. Empty: the file `notification.key` beside the SQLite file, which `rapport "
            "init` makes. Without any, pushes and webhooks are off."
        ),
    ] = ""
    vapid_key: Annotated[
        str,
        _about(
            "Signs pushes (RFC 8292): a P-256 key, 32 bytes in base64url. Browsers bind their subscriptions to it, so "
            "a new one ends them all. Empty: the file `vapid.key` beside the SQLite file."
        ),
    ] = ""
    contact: Annotated[
        str,
        _about(
            "Whom a push service may write to when something is wrong: `mailto:` or `https:`. Empty: the address under "
            "which people reach the server."
        ),
    ] = ""
    push_hosts: Annotated[
        list[str],
        _about("Push services that the server talks to; `*.example.com` stands for every host below. No others."),
    ] = field(
        default_factory=lambda: [
            "fcm.googleapis.com",
            "updates.push.services.mozilla.com",
            "*.push.apple.com",
            "*.notify.windows.com",
        ]
    )


class Webhooks(Struct, frozen=True, forbid_unknown_fields=True):
    """Systems of your own that are told of events; `rapport webhooks` adds and removes them."""

    allow_networks: Annotated[
        list[str],
        _about(
            "Private networks that webhooks may go to, like `10.1.2.0/24`. Empty: none; the server then connects to "
            "addresses of the public internet alone, whatever a name stands for."
        ),
    ] = []


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """What is written to standard error. Ids stand in it only as a keyed hash whose key is forgotten every day."""

    level: Annotated[Literal["debug", "info", "warning", "error"], _about("Least severe level that is written.")] = (
        "info"
    )
    format: Annotated[Literal["console", "json"], _about("`console` for people, `json` for collectors.")] = "console"


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole configuration of a server."""

    server: Server = Server()
    store: Store = Store()
    bus: Bus = Bus()
    presence: Presence = Presence()
    metrics: Metrics = Metrics()
    turn: Turn = Turn()
    web: Web = Web()
    notifications: Notifications = Notifications()
    webhooks: Webhooks = Webhooks()
    limits: Limits = Limits()
    rates: RateLimits = RateLimits()
    log: Log = Log()


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL as browsers write an origin. Raises ConfigurationProblem for anything more."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    more = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1 or more:
        raise ConfigurationProblem(
            "server.public_url, server.origins and web.embedders must look like https://host or https://host:port"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" if port in {None, default} else f"{parts.scheme}://{host}:{port}"


def networks_of(webhooks: Webhooks) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The private networks that webhooks may go to. Raises ConfigurationProblem."""
    try:
        return [ipaddress.ip_network(text) for text in webhooks.allow_networks]
    except ValueError:
        raise ConfigurationProblem("webhooks.allow_networks must be networks like 10.1.2.0/24 or fd00::/8") from None


def is_loopback(host: str) -> bool:
    """Whether an address or name can only mean this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check(config: Config) -> None:
    """What no single setting can say. Raises ConfigurationProblem."""
    server = config.server
    if not is_loopback(server.host) and not server.trust_proxy and not server.lan:
        raise ConfigurationProblem(
            "server.host is not loopback, so everything would travel in clear text: put a proxy with TLS in front and "
            "set server.trust_proxy, or listen on 127.0.0.1"
        )
    _check_processes(config)
    _check_turn(config.turn)
    networks_of(config.webhooks)
    for origin in (*server.origins, *config.web.embedders):
        origin_of(origin)
    if server.public_url:
        origin = origin_of(server.public_url)
        if origin.startswith("http://") and not is_loopback(urlsplit(origin).hostname or ""):
            raise ConfigurationProblem("server.public_url must begin with https:// unless it is loopback")


def _check_turn(turn: Turn) -> None:
    if any(not url.startswith(("turn:", "turns:")) for url in turn.urls):
        raise ConfigurationProblem("turn.urls must begin with turn: or turns:")
    if turn.urls and len(turn.secret) < _SECRET_LEAST:
        raise ConfigurationProblem("turn.urls need turn.secret, at least 16 characters")


def _check_processes(config: Config) -> None:
    """Several processes need a database that takes several, and a way to tell each other what is new."""
    server = config.server
    for setting, several in (("server.workers above 1", server.workers > 1), ("server.reuse_port", server.reuse_port)):
        if several and not (config.store.url and config.bus.url):
            raise ConfigurationProblem(
                f"{setting} needs store.url (PostgreSQL) and bus.url (Redis): a SQLite file serves one process"
            )
        if several and server.lan:
            raise ConfigurationProblem(f"{setting} does not go together with server.lan, which is for one process")
