"""Asking etcd by the JSON gateway that every member has on its client port: HTTP, and nothing to install.

What is asked here may be asked again, at another member too, so who asks need not care at which moment a member went
away. Nothing takes longer than a limit: not a name that does not resolve, and not an answer that comes byte by byte.

Who asks, and how a member proves itself, is said by the variables that etcd's own client takes: `ETCDCTL_USER`,
`ETCDCTL_PASSWORD`, `ETCDCTL_CACERT`, `ETCDCTL_CERT` and `ETCDCTL_KEY`. An address never has a password in it, for it is
written down and shown.
"""

from __future__ import annotations

import re
import threading
import time
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import cycle
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from agentsync.errors import UsageError
from agentsync.remote.backend import Rejected, Unreachable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

T = TypeVar("T")

EXAMPLE = "etcd://host:2379/board, or with TLS etcds://host:2379/board"

PORT = 2379

LARGEST = 1 << 28
"""Bytes of an answer that are read."""

PAUSE_S = 0.2
"""Seconds until members that have no leader are asked again."""

SHOWN = 400
"""Characters of an answer that are repeated."""

_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?"
_ADDRESS = re.compile(rf"(etcds?)://({_HOST}(?:,{_HOST})*)/([A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*)/?")

_NOT_NOW = frozenset({1, 4, 14})
"""gRPC's cancelled, deadline exceeded and unavailable: no leader, or a new one, or a member that stops."""

_NO_USERS = 9
"""gRPC's failed precondition: authentication is not enabled."""


class Address(Struct, frozen=True, gc=False):
    """Where a board is."""

    secure: bool
    members: tuple[tuple[str, int], ...]
    """Host and port."""
    board: str


class NoAnswerError(Exception):
    """There was none, or one that is a refusal."""

    def __init__(self, outcome: Rejected | Unreachable, code: int = 0, wait: bool = False) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome
        self.code = code
        self.wait = wait
        """Whether a member is there, and only not able to answer at this moment."""


class _Complaint(Struct, gc=False):
    code: int = 0
    message: str = ""
    error: str = ""


class _Token(Struct, gc=False):
    token: str = ""


def parse(address: str) -> Address:
    """What an address says: `etcd://host[:port][,host[:port]…]/board`.

    Raises:
        UsageError: Nothing that could be one. The message does not repeat it, for there may be a password in it.
    """
    if "@" in address:
        raise UsageError(
            "an address of etcd has no user in it: it is written down and shown",
            "ETCDCTL_USER and ETCDCTL_PASSWORD in the environment say who asks",
        )
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise UsageError("that is no address of a board in etcd", f"for example {EXAMPLE}")
    members = []
    for member in found[2].split(","):
        host, _, port = member.rpartition(":") if re.search(r":[0-9]+$", member) else (member, "", str(PORT))
        if not 0 < int(port) < 1 << 16:
            raise UsageError("that is no port of etcd", f"for example {EXAMPLE}")
        members.append((host.strip("[]"), int(port)))
    return Address(found[1] == "etcds", tuple(members), found[3])


class Gateway:
    """A way to the members of one cluster, for one command."""

    def __init__(self, address: Address, env: Mapping[str, str], limit_s: float) -> None:
        self._address = address
        self._env = env
        self._limit_s = limit_s
        self._token: str | None = None

    def ask(self, path: str, question: Mapping[str, Any], kind: type[T]) -> T:
        """The answer to a question.

        Args:
            path: Below `/v3/`.
            question: In the gateway's JSON; bytes are encoded here.
            kind: What an answer is.

        Raises:
            NoAnswerError: There was none in time, or it was a refusal.
        """
        if self._token is None:
            self._token = self._authenticated()
        return self._ask(path, question, kind)

    def _authenticated(self) -> str:
        user, _, password = self._env.get("ETCDCTL_USER", "").partition(":")
        if not user:
            return ""
        asked = {"name": user, "password": password or self._env.get("ETCDCTL_PASSWORD", "")}
        try:
            return self._ask("auth/authenticate", asked, _Token).token
        except NoAnswerError as error:
            if error.code == _NO_USERS:
                return ""
            raise

    def _ask(self, path: str, question: Mapping[str, Any], kind: type[T]) -> T:
        """Ask one member after the other; again and again while one of them asks for patience."""
        body = msgspec.json.encode(question)
        deadline = time.monotonic() + self._limit_s
        members = self._address.members
        waits = False
        for number, member in enumerate(cycle(members)):
            left = deadline - time.monotonic()
            try:
                return _decoded(*self._once(member, path, body, left / max(1, len(members) - number)), kind)
            except NoAnswerError as error:
                waits = waits or error.wait
                is_round = (number + 1) % len(members) == 0
                if isinstance(error.outcome, Rejected) or (is_round and not waits):
                    raise
                left = deadline - time.monotonic()
                if left <= PAUSE_S:
                    raise
            if is_round:
                time.sleep(PAUSE_S)
        raise AssertionError("a cycle has no end")

    def _once(self, member: tuple[str, int], path: str, body: bytes, limit_s: float) -> tuple[int, bytes]:
        words = {"Content-Type": "application/json", **({"Authorization": self._token} if self._token else {})}
        context = self._context() if self._address.secure else None

        def exchange() -> tuple[int, bytes]:
            host, port = member
            if context is not None:
                connection: HTTPConnection = HTTPSConnection(host, port, timeout=limit_s, context=context)
            else:
                connection = HTTPConnection(host, port, timeout=limit_s)
            try:
                connection.request("POST", f"/v3/{path}", body, words)
                answer = connection.getresponse()
                return answer.status, answer.read(LARGEST)
            finally:
                connection.close()

        try:
            return _within(limit_s, exchange)
        except TimeoutError:
            raise NoAnswerError(Unreachable(f"no answer in {self._limit_s:g} s")) from None
        except (OSError, HTTPException, ValueError) as error:
            raise NoAnswerError(Unreachable(str(error) or type(error).__name__)) from None

    def _context(self) -> ssl.SSLContext:
        import ssl  # 10 ms

        name = self._env.get
        try:
            context = ssl.create_default_context(cafile=name("ETCDCTL_CACERT") or None)
            if certificate := name("ETCDCTL_CERT"):
                context.load_cert_chain(certificate, name("ETCDCTL_KEY") or None)
        except OSError as error:
            raise NoAnswerError(Rejected(f"a file of ETCDCTL_CACERT, _CERT or _KEY is of no use: {error}")) from None
        return context


def _decoded(status: int, data: bytes, kind: type[T]) -> T:
    """What an answer says.

    Raises:
        NoAnswerError: It is a refusal, or none of etcd's.
    """
    try:
        if status == 200:
            return msgspec.json.decode(data, type=kind)
        told = msgspec.json.decode(data, type=_Complaint)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise NoAnswerError(Unreachable(f"that is not how etcd answers: HTTP {status}")) from None
    said = (told.message or told.error or f"HTTP {status}")[:SHOWN]
    if told.code in _NOT_NOW or "too many requests" in said:
        raise NoAnswerError(Unreachable(said), told.code, wait=True)
    if "user name is empty" in said:
        said += "; ETCDCTL_USER and ETCDCTL_PASSWORD in the environment say who asks"
    raise NoAnswerError(Rejected(said), told.code)


def _within(limit_s: float, act: Callable[[], tuple[int, bytes]]) -> tuple[int, bytes]:
    """What comes of an act, if it comes in time: in a thread, for nothing else ends a look-up of a name.

    Raises:
        TimeoutError: It did not. The thread goes on alone, and keeps nobody.
        Exception: What the act raises.
    """
    came: list[tuple[int, bytes]] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            came.append(act())
        except Exception as error:  # told below, in the caller's thread
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    if failed:
        raise failed[0]
    if not came:
        raise TimeoutError
    return came[0]
