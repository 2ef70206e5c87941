"""Programs of the operating system under a harness: started, waited for, frozen, killed, and ended with it.

A program runs as long as its block. `async with` and `with` do the same; the second one blocks, for fixtures that
outlive an event loop. The harness may itself be killed: the kernel then kills the program (`PR_SET_PDEATHSIG`), so that
nothing stays behind. That tie belongs to the *thread* that started the program: start programs in the main thread.
"""

import asyncio
import os
import pwd
import random
import secrets
import select
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["READY_WITHIN_S", "ProcessProblem", "Program", "find_program", "free_port", "run_program", "user_exists"]

READY_WITHIN_S: Final = 60.0
"""Seconds that a program has until it says that it is ready: a hundred times what it needs on a quiet machine."""
_END_WITHIN_S: Final = 60.0
"""Seconds that a program has to end when asked: one that flushes its data to a busy disk takes some."""
_ANSWER_WITHIN_S: Final = 60.0
"""Seconds that a short command has, on a busy machine."""
_PLACES: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
"""Where programs lie beside PATH: an ordinary user's PATH leaves the last three out."""
_CAP_DAC_OVERRIDE: Final = 1
"""Bit of the capability that lets another user reach a folder below one that is closed to it."""
_LOWEST_PORT: Final = 10_000
"""Below it lie the usual ports of services."""


class ProcessProblem(RuntimeError):
    """A process did not do what it was started for; the text says which, and where its log is."""


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on now.

    It lies outside the range that the kernel takes ports of outgoing connections from, so that it is still free when a
    program that was killed comes back to it.
    """
    try:
        lowest_taken = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        lowest_taken = 0
    for _ in range(100 if lowest_taken > 2 * _LOWEST_PORT else 0):
        port = random.randrange(_LOWEST_PORT, lowest_taken)  # noqa: S311 - nobody gains by guessing it
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def find_program(name: str, package: str, places: str = _PLACES) -> str:
    """Where a program lies. Raises ProcessProblem, which names the Debian package, when it is not installed."""
    found = shutil.which(name) or shutil.which(name, path=places)
    if found is None:
        raise ProcessProblem(f"{name} is not installed here (Debian: apt-get install {package})")
    return found


def run_program(command: list[str], *, user: str | None = None, text: str = "") -> str:
    """Runs a short command to its end, with `text` as its input, and returns what it printed.

    user: whom to run it as when this process is root's. Raises ProcessProblem with its last line when it fails.
    """
    try:
        done = subprocess.run(
            [*_as(user), *command],
            input=text,
            capture_output=True,
            text=True,
            timeout=_ANSWER_WITHIN_S,
            env={"PATH": _PLACES, "LC_ALL": "C.UTF-8"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProcessProblem(f"{Path(command[0]).name} did not end within {_ANSWER_WITHIN_S:g} s") from None
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise ProcessProblem(f"{Path(command[0]).name} ended with {done.returncode}: {last}")
    return done.stdout


def _as(user: str | None) -> list[str]:
    """What to put before a command so that it runs as `user`, or as this user, and dies with this thread."""
    tied = [find_program("setpriv", "util-linux"), "--pdeathsig", "KILL"]
    if user is None or os.geteuid() != 0:
        return [*tied, "--"]
    other = [f"--reuid={user}", f"--regid={user}", "--init-groups"]
    if _may_override():
        other += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return [*tied, *other, "--"]


def _may_override() -> bool:
    lines = Path("/proc/self/status").read_text().splitlines()
    bounds = next((line.split()[1] for line in lines if line.startswith("CapBnd:")), "0")
    return bool(int(bounds, 16) >> _CAP_DAC_OVERRIDE & 1)


class Program(ABC):
    """One program, with everything that it writes in `folder`; the log is `<name>.log` there.

    It must tell systemd when it is ready (`sd_notify`), as Debian's servers do; that is what `start` waits for.
    package: the Debian package that it comes from. user: whom it runs as when this process is root's. variables: its
    environment, beside PATH and a plain locale.
    """

    stop_signal = signal.SIGTERM
    """Asks it to end in good order."""

    def __init__(
        self,
        folder: Path,
        name: str,
        package: str,
        user: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.name = name
        self.package = package
        self.user = user
        self.log = folder / f"{name}.log"
        self.variables = {"PATH": _PLACES, "LC_ALL": "C.UTF-8", **(variables or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._thawer: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id; ProcessProblem when it does not run."""
        if self._process is None or self._process.poll() is not None:
            raise ProcessProblem(f"{self.name} does not run; see {self.log}")
        return self._process.pid

    @abstractmethod
    def command(self) -> list[str]:
        """The command line that starts it."""

    @abstractmethod
    def prepare(self) -> None:
        """Brings the folder into the state that a start needs; done before every start."""

    # --- from the start to the end ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts it and waits until it is ready. Raises ProcessProblem; nothing runs then."""
        await asyncio.to_thread(self._make_ready)
        with self._launch() as ready:
            try:
                await asyncio.to_thread(self._wait_until_ready, ready)
            except BaseException:  # cancelled too: the thread sees the end and returns
                self._kill()
                raise

    async def stop(self) -> int:
        """Asks it to end in good order; returns its exit code, 0 when it did not run."""
        return await self._end(self.stop_signal)

    async def kill(self) -> None:
        """`kill -9` for it and its children, also when frozen; nothing that it had in memory survives."""
        await asyncio.to_thread(self._kill)

    async def restart(self) -> None:
        """Ends it in good order and starts it again."""
        await self.stop()
        await self.start()

    def freeze(self) -> None:
        """Stops it and its children in the middle of whatever they do (SIGSTOP); its sockets stay open."""
        family = self._family()
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        # Children that are frozen would outlive a harness that is killed: this shell thaws them when its input ends.
        self._thawer = subprocess.Popen(
            ["sh", "-c", 'read -r _; kill -CONT "$@" 2>&-', "thaw", *map(str, family)],  # noqa: S607
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def thaw(self) -> None:
        """Lets it go on after `freeze`. Does nothing when it is not frozen."""
        thawer, self._thawer = self._thawer, None
        if thawer is not None:
            thawer.communicate()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.kill()

    def __enter__(self) -> Self:
        self._make_ready()
        with self._launch() as ready:
            try:
                self._wait_until_ready(ready)
            except BaseException:
                self._kill()
                raise
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._kill()

    # --- underneath ---------------------------------------------------------------------------------------------------

    def _make_ready(self) -> None:
        if self._process is not None:
            raise ProcessProblem(f"{self.name} runs already")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()

    def _launch(self) -> socket.socket:
        """Starts the process, in this thread; returns the socket on which it says that it is ready."""
        address = f"rapport-{secrets.token_hex(8)}"
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            ready.bind(f"\0{address}")  # no file: another user's program reaches it, and nothing is left behind
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [*_as(self.user), *self.command()],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    env={**self.variables, "NOTIFY_SOCKET": f"@{address}"},
                    start_new_session=True,  # Ctrl-C is for the harness
                )
        except BaseException:
            ready.close()
            raise
        return ready

    def _wait_until_ready(self, ready: socket.socket) -> None:
        process = self._process
        assert process is not None  # noqa: S101 - launched
        ended = os.pidfd_open(process.pid)
        try:
            watched = select.poll()
            watched.register(ended, select.POLLIN)
            watched.register(ready, select.POLLIN)
            while events := dict(watched.poll(READY_WITHIN_S * 1000)):
                if ready.fileno() in events and b"READY=1" in ready.recv(4096).splitlines():
                    return
                if ended in events:
                    raise ProcessProblem(f"{self.name} ended with {process.wait()}; see {self.log}")
        finally:
            os.close(ended)
        raise ProcessProblem(f"{self.name} was not ready within {READY_WITHIN_S:g} s; see {self.log}")

    async def _end(self, way: signal.Signals) -> int:
        process = self._process
        if process is None:
            return 0
        self.thaw()
        process.send_signal(way)
        try:
            code = await asyncio.to_thread(process.wait, _END_WITHIN_S)
        except subprocess.TimeoutExpired:
            await self.kill()
            raise ProcessProblem(f"{self.name} did not end within {_END_WITHIN_S:g} s; see {self.log}") from None
        self._process = None
        return code

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        children = [] if process.poll() is not None else _children(process.pid)
        gone = [fd for pid in children if (fd := _opened(pid)) is not None]
        try:
            process.kill()
            for fd in gone:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
            process.wait()
            for fd in gone:
                select.select([fd], [], [], _END_WITHIN_S)
        finally:
            for fd in gone:
                os.close(fd)
            self.thaw()

    def _family(self) -> list[int]:
        """The program first, so that it starts no further child, then its children."""
        return [self.pid, *_children(self.pid)]


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _opened(pid: int) -> int | None:
    """A handle that keeps meaning this process, even when its number is given to another one."""
    with suppress(ProcessLookupError):
        return os.pidfd_open(pid)
    return None


def user_exists(name: str) -> bool:
    """Whether this machine has an account of that name."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
