"""A MySQL client written by hand that records every packet it sends and gets; and a relay that records other clients'.

It owes nothing to the code under test. What is random about a login is fixed by nobody: the server's nonce is in the
recording, so the answer to it can be computed again.
"""
import hashlib
import pathlib
import socket
import ssl
import struct
import subprocess
import tempfile
import threading

LONG_PASSWORD, FOUND_ROWS, LONG_FLAG, WITH_DB = 1 << 0, 1 << 1, 1 << 2, 1 << 3
LOCAL_FILES, PROTOCOL_41, TLS, TRANSACTIONS, RESERVED, SECURE = 1 << 7, 1 << 9, 1 << 11, 1 << 13, 1 << 14, 1 << 15
MULTI_STATEMENTS, MULTI_RESULTS, PS_MULTI_RESULTS, PLUGIN_AUTH = 1 << 16, 1 << 17, 1 << 18, 1 << 19
ATTRIBUTES, LONG_AUTH, SESSION_TRACK, DEPRECATE_EOF = 1 << 20, 1 << 21, 1 << 23, 1 << 24
OPTIONAL_METADATA, QUERY_ATTRIBUTES = 1 << 25, 1 << 27
PROGRESS, BULK, EXTENDED_METADATA, CACHED_METADATA = 1 << 32, 1 << 34, 1 << 35, 1 << 36
MARIADB_BITS = 0xFFFFFFFF << 32
BASE = (LONG_FLAG | PROTOCOL_41 | TRANSACTIONS | RESERVED | SECURE | MULTI_STATEMENTS | MULTI_RESULTS | PS_MULTI_RESULTS |
        PLUGIN_AUTH | LONG_AUTH | SESSION_TRACK)


def counted(raw):
    assert len(raw) < 251
    return bytes([len(raw)]) + raw


def native(password, nonce):
    if not password:
        return b""
    one = hashlib.sha1(password).digest()
    mask = hashlib.sha1(nonce + hashlib.sha1(one).digest()).digest()
    return bytes(a ^ b for a, b in zip(one, mask))


def sha2(password, nonce):
    if not password:
        return b""
    one = hashlib.sha256(password).digest()
    mask = hashlib.sha256(hashlib.sha256(one).digest() + nonce).digest()
    return bytes(a ^ b for a, b in zip(one, mask))


def rsa(password, nonce, pem):
    plain = bytes(a ^ nonce[i % len(nonce)] for i, a in enumerate(password + b"\0"))
    with tempfile.NamedTemporaryFile() as key:
        key.write(pem)
        key.flush()
        return subprocess.run(["openssl", "pkeyutl", "-encrypt", "-pubin", "-inkey", key.name, "-pkeyopt",
                               "rsa_padding_mode:oaep"], input=plain, capture_output=True, check=True).stdout


class Recorder:
    """One connection and the lines of its file."""

    def __init__(self, folder, port, name, about, **facts):
        self.folder, self.name, self.lines = folder, name, ["# " + about]
        for key, value in facts.items():
            self.fact(key, value)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=180)
        self.number, self.capabilities, self.nonce, self.prepared = 0, 0, b"", 0

    def fact(self, key, value):
        self.lines.append(f"= {key} {value}")

    def send(self, payload):
        raw = struct.pack("<I", len(payload))[:3] + bytes([self.number]) + payload
        self.number = (self.number + 1) % 256
        self.lines.append("> " + raw.hex())
        self.socket.sendall(raw)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, f"{self.name}: the server hung up\n" + "\n".join(self.lines)
            data += more
        return data

    def read(self):
        header = self.exactly(4)
        payload = self.exactly(int.from_bytes(header[:3], "little"))
        self.number = (header[3] + 1) % 256
        self.lines.append("< " + (header + payload).hex())
        return payload

    def command(self, payload):
        self.number = 0
        self.send(payload)

    def start(self, capabilities):
        """The greeting, and what of `capabilities` the server has."""
        greeting = self.read()
        at = greeting.index(b"\0", 1) + 1
        first, low = greeting[at + 4:at + 12], greeting[at + 13:at + 15]
        high, extended = greeting[at + 18:at + 20], greeting[at + 27:at + 31]
        offered = int.from_bytes(low + high, "little")
        if not offered & LONG_PASSWORD:
            offered |= int.from_bytes(extended, "little") << 32
        self.nonce = first + greeting[at + 31:at + 43]
        self.capabilities = capabilities & offered
        if not self.capabilities & MARIADB_BITS:
            self.capabilities |= LONG_PASSWORD
        self.fact("capabilities", f"{self.capabilities:x}")

    def first_half(self):
        return (struct.pack("<IIB", self.capabilities & 0xFFFFFFFF, 1 << 24, 45) + bytes(19) +
                struct.pack("<I", self.capabilities >> 32))

    def start_tls(self):
        self.send(self.first_half())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def respond(self, user, auth, plugin, database=None):
        payload = self.first_half() + user.encode() + b"\0" + counted(auth)
        if self.capabilities & WITH_DB:
            payload += (database or "").encode() + b"\0"
        payload += plugin.encode() + b"\0"
        if self.capabilities & ATTRIBUTES:
            payload += counted(counted(b"program_name") + counted(b"golden"))
        self.send(payload)

    def finish_login(self, password, tls):
        """Whatever the server asks; returns the OK or ERR that ends it."""
        password, plugin = password.encode(), ""
        while True:
            answer = self.read()
            if answer[0] in (0, 0xFF):
                return answer
            if answer[0] == 0xFE:
                plugin, _, rest = answer[1:].partition(b"\0")
                self.nonce = rest.rstrip(b"\0")
                if plugin == b"mysql_native_password":
                    self.send(native(password, self.nonce))
                elif plugin == b"caching_sha2_password":
                    self.send(sha2(password, self.nonce))
                elif plugin == b"sha256_password":
                    self.send(password + b"\0" if tls else b"\1")
                else:
                    raise AssertionError(plugin)
            elif answer == b"\1\4":
                self.send(password + b"\0" if tls else b"\2")
            elif answer[:6] == b"\1-----":
                self.send(rsa(password, self.nonce, answer[1:]))
            else:
                assert answer == b"\1\3", answer

    def login(self, user, password, capabilities, plugin, tls=False, database=None):
        self.start(capabilities | (TLS if tls else 0) | (WITH_DB if database else 0))
        if tls:
            self.start_tls()
        auth = {"mysql_native_password": native, "caching_sha2_password": sha2}[plugin](password.encode(), self.nonce)
        self.respond(user, auth, plugin, database)
        return self.finish_login(password, tls)

    # ---- answers

    def is_end(self, payload):
        return payload[0] == 0xFE and len(payload) < 0xFFFFFF

    def status_of(self, payload):
        if payload[0] == 0xFE and not self.capabilities & DEPRECATE_EOF:
            return struct.unpack_from("<H", payload, 3)[0]
        at = 1
        for _ in range(2):
            at += {0xFC: 3, 0xFD: 4, 0xFE: 9}.get(payload[at], 1)
        return struct.unpack_from("<H", payload, at)[0]

    def columns(self, count):
        for _ in range(count):
            assert self.read()[0] == 3
        if count and not self.capabilities & DEPRECATE_EOF:
            return self.status_of(self.read())
        return 0

    def rows(self):
        while True:
            payload = self.read()
            if payload[0] == 0xFF or self.is_end(payload):
                return payload

    def results(self, cursor=False, file=None):
        """All results of a query; the last packet of all."""
        while True:
            last = self.read()
            if last[0] == 0xFB:
                for part in file or []:
                    self.send(part)
                self.send(b"")
                continue
            if last[0] not in (0, 0xFF):
                optional = self.capabilities & (OPTIONAL_METADATA | CACHED_METADATA)
                count = last[0] if not optional or last[1] else 0
                if optional and not last[1] and not self.capabilities & DEPRECATE_EOF:
                    self.read()
                status = self.columns(count)
                if cursor and status & 0x40:
                    return b""
                last = self.rows()
            if last[0] == 0xFF or not self.status_of(last) & 8:
                return last

    def query(self, sql, file=None):
        attributes = b"\0\1" if self.capabilities & QUERY_ATTRIBUTES else b""
        self.command(b"\3" + attributes + sql.encode())
        return self.results(file=file)

    def simple(self, payload):
        self.command(payload)
        return self.read()

    def field_list(self, table):
        self.command(b"\4" + table.encode() + b"\0")
        self.rows()

    def prepare(self, sql):
        self.command(b"\x16" + sql.encode())
        answer = self.read()
        if answer[0]:
            return
        self.prepared, columns, parameters = struct.unpack_from("<IHH", answer, 1)
        if self.capabilities & OPTIONAL_METADATA and not answer[12]:
            for _ in range(0 if self.capabilities & DEPRECATE_EOF else (columns > 0) + (parameters > 0)):
                self.read()
            return
        self.columns(parameters)
        self.columns(columns)

    def execute(self, tail=b"", flags=0, statement=None):
        self.command(b"\x17" + struct.pack("<IBI", self.prepared if statement is None else statement, flags, 1) + tail)
        return self.results(cursor=bool(flags & 1))

    def fetch(self, count):
        self.command(b"\x1c" + struct.pack("<II", self.prepared, count))
        return self.rows()

    def statement(self, code, tail=b""):
        self.command(bytes([code]) + struct.pack("<I", self.prepared) + tail)

    def quietly(self):
        """What came before is not part of the story, but for the facts."""
        self.lines = [line for line in self.lines if line[0] in "#="]

    def finish(self):
        self.socket.close()
        (self.folder / f"{self.name}.txt").write_text("\n".join(self.lines) + "\n")


class Relay:
    """Between a client program and the server, recording the packets of one connection."""

    def __init__(self, port):
        self.server_port, self.packets, self.lock = port, [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        client, _ = self.listener.accept()
        server = socket.create_connection(("127.0.0.1", self.server_port))
        back = threading.Thread(target=self.pump, args=(server, client, "<"))
        back.start()
        self.pump(client, server, ">")
        back.join()
        client.close()
        server.close()

    def pump(self, source, target, arrow):
        data = b""
        while more := source.recv(65536):
            data += more
            while len(data) >= 4 and len(data) >= (size := 4 + int.from_bytes(data[:3], "little")):
                with self.lock:
                    self.packets.append(f"{arrow} {data[:size].hex()}")
                data = data[size:]
            target.sendall(more)
        try:
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def finish(self, folder: pathlib.Path, name, about):
        self.thread.join(20)
        self.listener.close()
        (folder / f"{name}.txt").write_text("\n".join(["# " + about, *self.packets]) + "\n")
