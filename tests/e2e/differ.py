#!/usr/bin/python3
"""Direct versus proxy: plays a script against a server and through Turnout, message by message, and says what differs.

  differ.py --direct 127.0.0.1:5432 --proxy 127.0.0.1:6432 [--user U] [--database D] [--mode M …] [--pool N] [-v] [SCRIPT …]

Every message of the server must be equal, in type, body and order, except for what a rule of RULES names. A script is

  *.sql   blocks with an empty line between them. Each is played as one simple Query, as an unnamed extended statement, as a
          named one that is closed again, all blocks in one pipeline, and all before one Sync (the MODES).
  *.wire  raw messages, one a line (`Player` has the list): parse, bind, describe, execute, close, flush, sync, query,
          copydata, copydone, copyfail, call, raw; `go` sends what stands above it and reads to the last ReadyForQuery that is
          owed for it; `read TYPE [N]` sends and reads until N messages of that type have come.

Lines `-- connect: name=value …` (start-up parameters), `-- modes: …`, `-- major: N` (that version and later) and `-- user: …`
may stand first. ${x*1000} stands for a thousand x.

With --pool N Turnout has N server connections for the script's user and database: between two steps other sessions
take connections and soil them, so that a session outside a transaction is served by another one than before.
"""
from __future__ import annotations

import argparse
import collections
import itertools
import re
import select
import shlex
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator

CORPUS = Path(__file__).resolve().parent / "differ"
MODES = ("simple", "extended", "prepared", "pipeline", "batch")
ANSWER_S_MAX = 20.0  # the servers share a machine with everything else
SHOWN_MAX = 300


# ---- messages --------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Message:
    """One message of a server, in a form that can be compared and read."""

    type: str
    body: tuple[object, ...]

    def __str__(self) -> str:
        text = f"{self.type} {self.body!r}" if self.body else self.type
        return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}… ({len(text)})"


def _cstrings(body: bytes) -> list[str]:
    return [part.decode("utf-8", "backslashreplace") for part in body.split(b"\0")[:-1]]


def _fields(body: bytes) -> tuple[object, ...]:
    """ErrorResponse and NoticeResponse."""
    return tuple((part[:1].decode(), part[1:].decode("utf-8", "backslashreplace")) for part in body.split(b"\0") if part)


def _row_description(body: bytes) -> tuple[object, ...]:
    columns, at = [], 2
    for _ in range(struct.unpack_from("!H", body)[0]):
        end = body.index(b"\0", at)
        columns.append((body[at:end].decode("utf-8", "backslashreplace"), *struct.unpack_from("!IhIhih", body, end + 1)))
        at = end + 19
    return tuple(columns)


def decode(kind: bytes, body: bytes) -> Message:
    name = kind.decode("latin-1")
    if name in "EN":
        return Message(name, _fields(body))
    if name == "T":
        return Message(name, _row_description(body))
    if name == "t":
        return Message(name, struct.unpack(f"!{struct.unpack_from('!H', body)[0]}I", body[2:]))
    if name in "SC":
        return Message(name, tuple(_cstrings(body)))
    if name == "A":
        return Message(name, (struct.unpack_from("!i", body)[0], *_cstrings(body[4:])))
    return Message(name, (body,) if body else ())


class Refused(Exception):
    """The connection ended while an answer was owed."""


class Wire:
    """A connection that speaks the protocol and knows nothing else."""

    def __init__(self, address: tuple[str, int], parameters: dict[str, str]) -> None:
        self.socket = socket.create_connection(address, timeout=ANSWER_S_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = bytearray()
        self.early: collections.deque[Message] = collections.deque()  # came before the step that waits for them
        self.status = "?"
        packet = struct.pack("!i", 3 << 16)
        packet += b"".join(text.encode() + b"\0" for pair in parameters.items() for text in pair) + b"\0"
        self.socket.sendall(struct.pack("!i", len(packet) + 4) + packet)

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Reads while it sends: a pipeline longer than the socket's buffers must not stop both sides."""
        view = memoryview(data)
        while view:
            readable, writable, _ = select.select([self.socket], [self.socket], [], ANSWER_S_MAX)
            if readable:
                self._receive()
                self.early.extend(self._messages())
            if writable:
                self.socket.setblocking(False)
                try:
                    view = view[self.socket.send(view[:1 << 16]):]
                except (BrokenPipeError, ConnectionResetError):
                    return  # what the other side said before it closed is read next
                finally:
                    self.socket.settimeout(ANSWER_S_MAX)
            if not readable and not writable:
                raise TimeoutError("nothing moves")

    def _receive(self) -> bool:
        try:
            chunk = self.socket.recv(1 << 18)
        except ConnectionResetError:
            chunk = b""
        self.data += chunk
        return bool(chunk)

    def _messages(self) -> Iterator[Message]:
        at, data = 0, self.data
        while len(data) - at >= 5:
            length = struct.unpack_from("!i", data, at + 1)[0]
            if len(data) - at < length + 1:
                break
            message = decode(bytes(data[at:at + 1]), bytes(data[at + 5:at + 1 + length]))
            at += length + 1
            if message.type == "Z":
                self.status = message.body[0].decode()  # type: ignore[attr-defined]
            yield message
        del data[:at]

    def read(self, kind: str, count: int, got: list[Message]) -> list[Message]:
        """Adds to `got` until it holds `count` messages of the kind, nothing behind them. An end, silence: Refused."""
        deadline = time.monotonic() + ANSWER_S_MAX
        left = count
        while left > 0:
            self.early.extend(self._messages())
            while self.early and left > 0:
                got.append(self.early.popleft())
                left -= got[-1].type == kind
            if left == 0:
                break
            wait = deadline - time.monotonic()
            if wait <= 0 or not select.select([self.socket], [], [], wait)[0]:
                got.append(Message("(silence)", ()))
                raise Refused()
            if not self._receive():
                got.append(Message("(end)", ()))
                raise Refused()
        return got

    def goodbye(self) -> list[Message]:
        """Terminate; what was still on its way counts too."""
        got: list[Message] = []
        try:
            self.send(message(b"X"))
            self.read("(never)", 1, got)
        except (Refused, OSError):
            pass
        return [one for one in got if one.type not in ("(end)", "(silence)")]


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def cstring(text: str) -> bytes:
    return text.encode() + b"\0"


# ---- rules: what may differ, each with its reason --------------------------------------------------------------------

@dataclass
class Normaliser:
    """Of one conversation."""

    oids: dict[int, str] = field(default_factory=dict)

    def oid(self, number: object) -> object:
        if not isinstance(number, int) or number < 16384:
            return number
        return self.oids.setdefault(number, f"fresh oid {len(self.oids) + 1}")


def _key_data(_one: Message, _state: Normaliser) -> Message | None:
    return Message("K", ())


def _notification_pid(one: Message, _state: Normaliser) -> Message | None:
    return Message("A", ("pid", *one.body[1:]))


def _fresh_parameter_oids(one: Message, state: Normaliser) -> Message | None:
    return Message("t", tuple(state.oid(number) for number in one.body))


def _fresh_oids(one: Message, state: Normaliser) -> Message | None:
    return Message("T", tuple((name, state.oid(table), column, state.oid(kind), *rest)
                              for name, table, column, kind, *rest in one.body))  # type: ignore[misc]


def _only_authentication_ok(one: Message, _state: Normaliser) -> Message | None:
    return one if one.body[0][:4] == b"\0\0\0\0" else None  # type: ignore[index]


def _where_a_failed_transaction_was_met(one: Message, _state: Normaliser) -> Message | None:
    if ("C", "25P02") not in one.body:
        return one
    return Message("E", tuple(part for part in one.body if part[0] not in "FLR"))  # type: ignore[index]


Rule = Callable[[Message, Normaliser], "Message | None"]
RULES: dict[str, tuple[str, str, Rule]] = {
    "key data": ("K", "BackendKeyData is Turnout's own: its keys outlive server connections", _key_data),
    "notification pid": ("A", "the notifying backend is another one in each run", _notification_pid),
    "fresh oids": ("T", "objects of the script get new OIDs in each run: compared by order of appearance", _fresh_oids),
    "fresh parameter oids": ("t", "as above", _fresh_parameter_oids),
    "failed transaction": ("E", "a statement that is prepared again on another connection meets 25P02 at its Parse, not its Bind: "
                           "the line of the server's source is another one", _where_a_failed_transaction_was_met),
    "authentication": ("R", "how one logs in is configured apart: only AuthenticationOk is compared", _only_authentication_ok),
}
_RULE_OF: dict[str, Rule] = {kind: rule for kind, _why, rule in RULES.values()}


def normalised(messages: list[Message], state: Normaliser) -> list[Message]:
    result = []
    for one in messages:
        rule = _RULE_OF.get(one.type)
        kept = rule(one, state) if rule is not None else one
        if kept is not None:
            result.append(kept)
    return result


def in_order(messages: list[Message]) -> list[Message]:
    """Rule "order of reports": of several ParameterStatus in a row a server sends that first which was changed last in its
    own history, which is another one for each connection."""
    result: list[Message] = []
    for kind, run in itertools.groupby(messages, key=lambda one: one.type):
        result += sorted(run, key=str) if kind == "S" else run
    return result


# ---- scripts ---------------------------------------------------------------------------------------------------------

@dataclass
class Step:
    """Sent in one piece; then `count` messages of `kind` are read."""

    label: str
    data: bytes = b""
    kind: str = "Z"
    count: int = 0


@dataclass
class Script:
    name: str
    steps: list[Step]
    parameters: dict[str, str]
    major: int = 0


def expanded(text: str) -> str:
    return re.sub(r"\$\{(.+?)\*(\d+)\}", lambda match: match[1] * int(match[2]), text)


def unescaped(text: str) -> str:
    return text.encode().decode("unicode_escape").encode("latin-1").decode("utf-8")


class Player:
    """Lines of a .wire script to steps. Names: - is the empty one. Values: NULL, or text; x'00ff' is binary."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.data = b""
        self.label = ""
        self.owed = 0

    def line(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        self.label = f"{self.label} · {line}" if self.label else line
        if word == "go":
            self.end("Z", int(rest) if rest else self.owed)
        elif word == "read":
            kind, _, count = rest.partition(" ")
            self.end(kind, int(count or 1))
        elif word == "query":
            self.data += message(b"Q", cstring(expanded(rest)))
            self.owed += 1
        elif word == "sync":
            self.data += message(b"S")
            self.owed += 1
        elif word == "call":
            self.data += self._call(shlex.split(rest))
            self.owed += 1
        else:
            self.data += getattr(self, f"_{word}")(rest if word == "bind" else expanded(rest))

    def end(self, kind: str, count: int) -> None:
        label = self.label if len(self.label) < 160 else self.label[:160] + "…"
        self.steps.append(Step(label, self.data, kind, count))
        self.data, self.label, self.owed = b"", "", 0

    @staticmethod
    def _name(text: str) -> str:
        return "" if text == "-" else text

    def _parse(self, rest: str) -> bytes:
        """parse NAME [OID,OID…] TEXT"""
        name, _, sql = rest.partition(" ")
        oids: list[int] = []
        if match := re.match(r"\[([\d,]*)\] ?", sql):
            oids = [int(oid) for oid in match[1].split(",") if oid]
            sql = sql[match.end():]
        return message(b"P", cstring(self._name(name)) + cstring(sql) + struct.pack(f"!H{len(oids)}I", len(oids), *oids))

    def _bind(self, rest: str) -> bytes:
        """bind PORTAL STATEMENT [results=0|1] VALUE…"""
        portal, statement, *values = map(expanded, shlex.split(rest))
        results = [int(value[8:]) for value in values if value.startswith("results=")]
        values = [value for value in values if not value.startswith("results=")]
        formats = [int(bool(re.fullmatch(r"x:[0-9a-f]*", value))) for value in values]
        body = cstring(self._name(portal)) + cstring(self._name(statement))
        body += struct.pack(f"!H{len(formats)}H", len(formats), *formats) + struct.pack("!H", len(values))
        for value, is_binary in zip(values, formats):
            data = bytes.fromhex(value[2:]) if is_binary else value.encode()
            body += struct.pack("!i", -1) if value == "NULL" else struct.pack("!i", len(data)) + data
        return message(b"B", body + struct.pack(f"!H{len(results)}H", len(results), *results))

    def _describe(self, rest: str) -> bytes:
        kind, name = rest.split()
        return message(b"D", kind.encode() + cstring(self._name(name)))

    def _close(self, rest: str) -> bytes:
        kind, name = rest.split()
        return message(b"C", kind.encode() + cstring(self._name(name)))

    def _execute(self, rest: str) -> bytes:
        portal, _, rows = rest.partition(" ")
        return message(b"E", cstring(self._name(portal)) + struct.pack("!i", int(rows or 0)))

    def _flush(self, _rest: str) -> bytes:
        return message(b"H")

    def _copydata(self, rest: str) -> bytes:
        return message(b"d", unescaped(rest).encode())

    def _copydone(self, _rest: str) -> bytes:
        return message(b"c")

    def _copyfail(self, rest: str) -> bytes:
        return message(b"f", cstring(rest))

    def _raw(self, rest: str) -> bytes:
        """raw TYPE HEX: a message of any kind and body"""
        kind, _, body = rest.partition(" ")
        return message(kind.encode(), bytes.fromhex(body))

    def _call(self, words: list[str]) -> bytes:
        """call OID ARGUMENT…: text in, text out"""
        body = struct.pack("!IHHH", int(words[0]), 1, 0, len(words) - 1)
        for word in words[1:]:
            body += struct.pack("!i", -1) if word == "NULL" else struct.pack("!i", len(word.encode())) + word.encode()
        return message(b"F", body + struct.pack("!H", 0))


def sql_steps(blocks: list[str], mode: str) -> list[Step]:
    player = Player()
    for number, block in enumerate(blocks):
        text = cstring(block)
        player.label = f"{player.label} · {block}" if player.label else block
        if mode == "simple":
            player.data = message(b"Q", text)
            player.end("Z", 1)
            continue
        name = cstring(f"statement {number}" if mode == "prepared" else "")
        player.data += message(b"P", name + text + struct.pack("!H", 0))
        if mode == "prepared":  # described and bound in segments of their own
            player.data += message(b"D", b"S" + name) + message(b"S")
            player.end("Z", 1)
            player.label = f"(prepared) {block}"
        player.data += message(b"B", b"\0" + name + struct.pack("!HHH", 0, 0, 0))
        player.data += message(b"D", b"P\0") + message(b"E", b"\0" + struct.pack("!i", 0))
        if mode != "batch":
            player.data += message(b"S")
            player.owed += 1
        if mode in ("extended", "prepared"):
            player.end("Z", 1)
        if mode == "prepared" and number % 2 == 0:
            player.data += message(b"C", b"S" + name) + message(b"S")
            player.label = f"(close) {block}"
            player.end("Z", 1)
    if mode == "pipeline":
        player.end("Z", player.owed)
    if mode == "batch":
        player.data += message(b"S")
        player.end("Z", 1)
    return player.steps


def read_script(path: Path) -> Iterator[Script]:
    """One for each mode it is played in."""
    parameters: dict[str, str] = {}
    modes, major = MODES, 0
    lines = path.read_text().splitlines()
    while lines and (match := re.match(r"-- (connect|modes|major|user): (.*)", lines[0])):
        if match[1] == "connect":
            parameters.update(word.split("=", 1) for word in shlex.split(match[2]))  # type: ignore[misc]
        elif match[1] == "modes":
            modes = tuple(match[2].split())
        elif match[1] == "user":
            parameters["user"] = match[2].strip()
        else:
            major = int(match[2])
        lines.pop(0)
    if path.suffix == ".wire":
        player = Player()
        for line in lines:
            if line.strip() and not line.startswith("#"):
                player.line(line)
        if player.data:
            raise ValueError(f"{path.name}: the last messages are not sent (go, read)")
        yield Script(path.name, player.steps, parameters, major)
        return
    blocks = [expanded(block.strip()) for block in re.split(r"\n\s*\n", "\n".join(lines)) if block.strip()]
    for mode in modes:
        yield Script(f"{path.name} [{mode}]", sql_steps(blocks, mode), parameters, major)


# ---- playing ---------------------------------------------------------------------------------------------------------

class Crowd:
    """Other sessions of the pool: each holds a connection in a transaction while it has soiled it, in turns."""

    SOIL = ("SET search_path TO soiled; SET statement_timeout = '77s'; SET TimeZone TO 'Asia/Tokyo'; SET DateStyle TO 'German'; "
            "SET work_mem = '999kB'; SET application_name TO 'soil'; SET my.own = 'soiled'; BEGIN")

    def __init__(self, address: tuple[str, int], parameters: dict[str, str], pool: int) -> None:
        self.holders = [Wire(address, {name: parameters[name] for name in ("user", "database")}) for _ in range(pool - 1)]
        for holder in self.holders:
            holder.read("Z", 1, [])
        self.turn = 0
        self.owing: set[int] = set()

    def shuffle(self) -> None:
        """The last used connection is taken by one of us, another is given back."""
        self._begin(self.turn)
        self.turn = (self.turn + 1) % len(self.holders)
        self._end(self.turn)

    def _begin(self, index: int) -> None:
        holder = self.holders[index]
        if index in self.owing or holder.status != "I":
            return
        holder.send(message(b"Q", cstring(self.SOIL)))
        if select.select([holder.socket], [], [], 0.25)[0]:
            holder.read("Z", 1, [])
        else:
            self.owing.add(index)  # every connection is lent: it gets one when it can

    def _end(self, index: int) -> None:
        holder = self.holders[index]
        if index in self.owing:
            if not select.select([holder.socket], [], [], 0)[0]:
                return
            holder.read("Z", 1, [])
            self.owing.discard(index)
        if holder.status != "I":
            holder.send(message(b"Q", cstring("COMMIT")))
            holder.read("Z", 1, [])

    def close(self) -> None:
        for holder in self.holders:
            holder.close()


def play(script: Script, address: tuple[str, int], parameters: dict[str, str], crowd: Crowd | None = None) -> list[list[Message]]:
    """The messages of the login, of each step, and those that came behind the last one."""
    wire = Wire(address, {**parameters, **script.parameters})
    state = Normaliser()
    try:
        result: list[list[Message]] = []
        for step in [Step("(login)", b"", "Z", 1), *script.steps]:
            if crowd is not None and wire.status == "I":
                crowd.shuffle()
            got: list[Message] = []
            try:
                wire.send(step.data)
                wire.read(step.kind, step.count, got)
            except Refused:
                result.append(in_order(normalised(got, state)))
                return result
            result.append(in_order(normalised(got, state)))
        result.append(normalised(wire.goodbye(), state))
        return result
    finally:
        wire.close()


def differences(script: Script, direct: list[list[Message]], proxied: list[list[Message]]) -> list[str]:
    labels = ["(login)", *[step.label for step in script.steps], "(after the end)"]
    found = []
    for number in range(max(len(direct), len(proxied))):
        left = direct[number] if number < len(direct) else []
        right = proxied[number] if number < len(proxied) else []
        if left == right:
            continue
        at = next((i for i, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
        found.append(f"{script.name}, step {number}: {labels[number][:200]}\n"
                     f"    direct [{at}]:  {left[at] if at < len(left) else '(nothing)'}\n"
                     f"    proxied [{at}]: {right[at] if at < len(right) else '(nothing)'}")
    return found


def compare(script: Script, direct: tuple[str, int], proxy: tuple[str, int], parameters: dict[str, str],
            crowd: Crowd | None = None) -> list[str]:
    """What differs, in words; empty: nothing. A script leaves the database as it found it."""
    return differences(script, play(script, direct, parameters), play(script, proxy, parameters, crowd))


# ---- the command line ------------------------------------------------------------------------------------------------

def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--direct", type=_address, required=True)
    parser.add_argument("--proxy", type=_address, required=True)
    parser.add_argument("--user", default="postgres")
    parser.add_argument("--database", default="postgres")
    parser.add_argument("--mode", action="append", choices=MODES)
    parser.add_argument("--pool", type=int, default=0, help="soil and shuffle a pool of so many connections meanwhile")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the conversations")
    parser.add_argument("scripts", nargs="*", type=Path, default=sorted(CORPUS.glob("*.*")))
    given = parser.parse_args()
    parameters = {"user": given.user, "database": given.database}
    failed = 0
    for path in given.scripts:
        for script in read_script(path):
            if given.mode and path.suffix == ".sql" and not any(f"[{mode}]" in script.name for mode in given.mode):
                continue
            crowd = Crowd(given.proxy, {**parameters, **script.parameters}, given.pool) if given.pool else None
            direct = play(script, given.direct, parameters)
            proxied = play(script, given.proxy, parameters, crowd)
            if crowd is not None:
                crowd.close()
            found = differences(script, direct, proxied)
            failed += bool(found)
            print(f"{'DIFFERS' if found else 'equal  '} {script.name}")
            for text in found:
                print("  " + text)
            if given.verbose:
                for step, answers in zip([Step("(login)"), *script.steps, Step("(end)")], direct):
                    print(f"  > {step.label}", *[f"    < {one}" for one in answers], sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
