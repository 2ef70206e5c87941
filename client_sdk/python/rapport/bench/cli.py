"""`rapport bench`: the commands that measure. Each exits with 1 when its bar was missed or its run is void."""

import sys
from collections.abc import Callable

import click

__all__ = ["bench"]


@click.group()
def bench() -> None:
    """Measure this machine, in one run and beside what there is to compare with."""


def _teller(as_json: bool) -> Callable[[str], None]:
    return lambda line: None if as_json else click.echo(line, err=True)


_JSON = click.option("--json", "as_json", is_flag=True, help="Only the JSON object, no progress.")


@bench.command("relay")
@click.option("--rounds", default=3, show_default=True, help="How often each server is measured, taking turns.")
@click.option("--pairs", default=100, show_default=True, help="Conversations that talk at the same time.")
@click.option("--postgres", is_flag=True, help="The store is a PostgreSQL, started for this, whose CPU stands beside.")
@_JSON
def _relay(rounds: int, pairs: int, postgres: bool, as_json: bool) -> None:
    """Durable posts per core-second, as a ratio to what the WebSocket library does when it only echoes."""
    from rapport.bench.figures import print_json
    from rapport.bench.relay import Settings, relay

    report = relay(Settings(pairs=pairs, rounds=rounds), _teller(as_json), postgres=postgres)
    print_json(report)
    sys.exit(1 if report["void"] else 0)


@bench.command("calls")
@click.option("--rounds", default=3, show_default=True, help="How often that is measured.")
@click.option("--pairs", default=100, show_default=True, help="Pairs that call each other at the same time.")
@_JSON
def _calls(rounds: int, pairs: int, as_json: bool) -> None:
    """Set-ups of calls per core-second of the server, each with 23 relayed frames."""
    from rapport.bench.calls import Settings, calls
    from rapport.bench.figures import print_json

    report = calls(Settings(pairs=pairs, rounds=rounds), _teller(as_json))
    print_json(report)
    sys.exit(0 if report["kept"] and not report["void"] else 1)


@bench.command("resume")
@click.option("--messages", default=1000, show_default=True, help="Messages that wait, on the wire.")
@click.option("--rounds", default=5, show_default=True, help="How often that is measured.")
@click.option("--sdk-messages", default=10_000, show_default=True, help="Messages that wait for the SDK.")
@_JSON
def _resume(messages: int, rounds: int, sdk_messages: int, as_json: bool) -> None:
    """Time to drain a full mailbox: on the wire, and decrypted and stored by the SDK."""
    from rapport.bench.figures import print_json
    from rapport.bench.resume import resume

    report = resume(messages, rounds, sdk_messages, _teller(as_json))
    print_json(report)
    sys.exit(0 if report["kept"] else 1)


@bench.command("seal")
@click.option("--devices", default=50, show_default=True, help="Devices that the message is sealed for.")
@click.option("--repeat", default=20, show_default=True, help="How often each way is measured.")
@_JSON
def _seal(devices: int, repeat: int, as_json: bool) -> None:  # noqa: ARG001 - there is no progress to tell
    """Time to seal one message for many devices: in their chains, all turning, all new."""
    from rapport.bench.figures import print_json
    from rapport.bench.seal import seal

    report = seal(devices, repeat)
    print_json(report)
    sys.exit(0 if report["kept"] else 1)


@bench.command("idle")
@click.option("--connections", default=5000, show_default=True, help="Devices that are signed in at the same time.")
@_JSON
def _idle(connections: int, as_json: bool) -> None:
    """Memory of the server per idle, signed-in connection."""
    from rapport.bench.figures import print_json
    from rapport.bench.idle import idle

    report = idle(connections, _teller(as_json))
    print_json(report)
    sys.exit(0 if report["kept"] else 1)
