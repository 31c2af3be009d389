#!/usr/bin/python3
"""Records golden byte vectors: what a real PostgreSQL 15 says, byte for byte, in conversations we care about.

Run as root (the server runs as user postgres, in a temporary directory, on loopback, and is gone afterwards):
    /usr/bin/python3 tests/golden/capture.py
writes tests/golden/pg15/*.txt. A file is lines of
    # comment
    = name value             facts that the test needs: passwords, verifiers
    > hex  # type            client to server, one message
    < hex  # type            server to client, one message
The client side is written here by hand, so that it owes nothing to the code under test; its SCRAM nonce is fixed
(bytes 0..17), so that the code under test must say exactly the same.
"""
import base64
import hashlib
import hmac
import os
import pathlib
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
OUT = pathlib.Path(__file__).resolve().parent / "pg15"
NONCE = base64.b64encode(bytes(range(18))).decode()
PASSWORD = "correct horse, battery"

FRONTEND = {"B": "Bind", "C": "Close", "d": "CopyData", "c": "CopyDone", "f": "CopyFail", "D": "Describe",
            "E": "Execute", "H": "Flush", "F": "FunctionCall", "P": "Parse", "p": "password or SASL", "Q": "Query",
            "S": "Sync", "X": "Terminate"}
BACKEND = {"R": "Authentication", "K": "BackendKeyData", "2": "BindComplete", "3": "CloseComplete",
           "C": "CommandComplete", "d": "CopyData", "c": "CopyDone", "G": "CopyInResponse", "H": "CopyOutResponse",
           "D": "DataRow", "I": "EmptyQueryResponse", "E": "ErrorResponse", "V": "FunctionCallResponse",
           "v": "NegotiateProtocolVersion", "n": "NoData", "N": "NoticeResponse", "A": "NotificationResponse",
           "t": "ParameterDescription", "S": "ParameterStatus", "1": "ParseComplete", "s": "PortalSuspended",
           "Z": "ReadyForQuery", "T": "RowDescription"}


def message(kind, body=b""):
    return kind.encode() + struct.pack("!I", len(body) + 4) + body


def text(value):
    return value.encode() + b"\0"


def query(sql):
    return message("Q", text(sql))


def parse(name, sql, oids=()):
    return message("P", text(name) + text(sql) + struct.pack("!H", len(oids)) + b"".join(struct.pack("!I", o) for o in oids))


def bind(portal, statement, values=()):
    body = text(portal) + text(statement) + struct.pack("!HH", 0, len(values))
    for value in values:
        raw = value.encode()
        body += struct.pack("!I", len(raw)) + raw
    return message("B", body + struct.pack("!H", 0))


def describe(kind, name):
    return message("D", kind.encode() + text(name))


def execute(portal="", rows=0):
    return message("E", text(portal) + struct.pack("!I", rows))


def close(kind, name):
    return message("C", kind.encode() + text(name))


SYNC = message("S")


class Recorder:
    """One connection and the lines of its file."""

    def __init__(self, port, name, about, **facts):
        self.name, self.lines = name, ["# " + about]
        self.lines += [f"= {key} {value}" for key, value in facts.items()]
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.buffer = b""

    def start_tls(self):
        self.socket.sendall(struct.pack("!II", 8, 80877103))
        assert self.socket.recv(1) == b"S"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)
        binding = hashlib.sha256(self.socket.getpeercert(binary_form=True)).digest()
        self.lines.append("= channel_binding " + binding.hex())
        return binding

    def send(self, *messages):
        for raw in messages:
            self.lines.append(f"> {raw.hex()}  # {FRONTEND[chr(raw[0])]}")
        self.socket.sendall(b"".join(messages))

    def startup(self, user, database="postgres", version=196608, **options):
        pairs = {"user": user, "database": database, **options}
        body = struct.pack("!I", version) + b"".join(text(k) + text(v) for k, v in pairs.items()) + b"\0"
        raw = struct.pack("!I", len(body) + 4) + body
        self.lines.append(f"> {raw.hex()}  # StartupMessage")
        self.socket.sendall(raw)

    def read(self):
        while len(self.buffer) < 5 or len(self.buffer) < 1 + struct.unpack_from("!I", self.buffer, 1)[0]:
            more = self.socket.recv(65536)
            if not more:
                return None, b""
            self.buffer += more
        size = 1 + struct.unpack_from("!I", self.buffer, 1)[0]
        raw, self.buffer = self.buffer[:size], self.buffer[size:]
        self.lines.append(f"< {raw.hex()}  # {BACKEND[chr(raw[0])]}")
        return chr(raw[0]), raw[5:]

    def until(self, wanted, count=1):
        body = b""
        while count:
            kind, body = self.read()
            assert kind is not None, f"{self.name}: the server hung up while {wanted} was awaited\n" + "\n".join(self.lines)
            count -= kind == wanted
        return body

    def finish(self):
        self.socket.close()
        (OUT / f"{self.name}.txt").write_text("\n".join(self.lines) + "\n")

    def quietly(self):
        """What came before is not part of the story."""
        self.lines = [line for line in self.lines if line[0] in "#="]


def scram(connection, password, mechanism="SCRAM-SHA-256", binding=b"", gs2=b"n,,"):
    bare = f"n=,r={NONCE}".encode()
    first = gs2 + bare
    connection.send(message("p", text(mechanism) + struct.pack("!I", len(first)) + first))
    server_first = connection.until("R")[4:]
    nonce, salt, rounds = (part[2:] for part in server_first.decode().split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    key = hmac.digest(salted, b"Client Key", "sha256")
    without_proof = f"c={base64.b64encode(gs2 + binding).decode()},r={nonce}".encode()
    signature = hmac.digest(hashlib.sha256(key).digest(), bare + b"," + server_first + b"," + without_proof, "sha256")
    proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature)))
    connection.send(message("p", without_proof + b",p=" + proof))


def md5(password, user, salt):
    inner = hashlib.md5((password + user).encode()).hexdigest().encode()
    return message("p", text("md5" + hashlib.md5(inner + salt).hexdigest()))


def logins(port, verifier, md5_secret):
    c = Recorder(port, "login_trust", "trust", user="trusted")
    c.startup("trusted", application_name="golden")
    c.until("Z")
    c.finish()

    c = Recorder(port, "login_cleartext", "password in clear", user="cleartext", password=PASSWORD)
    c.startup("cleartext")
    c.until("R")
    c.send(message("p", text(PASSWORD)))
    c.until("Z")
    c.finish()

    for name, password in (("login_md5", PASSWORD), ("login_md5_wrong", "wrong")):
        c = Recorder(port, name, "md5", user="digested", password=password, secret=md5_secret)
        c.startup("digested")
        c.send(md5(password, "digested", c.until("R")[4:8]))
        c.until("Z" if password == PASSWORD else "E")
        c.finish()

    for name, password in (("login_scram", PASSWORD), ("login_scram_wrong", "wrong")):
        c = Recorder(port, name, "scram-sha-256", user="salted", password=password, secret=verifier)
        c.startup("salted")
        c.until("R")
        scram(c, password)
        c.until("Z" if password == PASSWORD else "E")
        c.finish()

    c = Recorder(port, "login_scram_plus", "scram-sha-256-plus inside TLS", user="salted", password=PASSWORD,
                 secret=verifier)
    binding = c.start_tls()
    c.startup("salted")
    c.until("R")
    scram(c, PASSWORD, "SCRAM-SHA-256-PLUS", binding, b"p=tls-server-end-point,,")
    c.until("Z")
    c.finish()

    c = Recorder(port, "login_scram_unknown_user", "no such role: a mock conversation", user="nobody_at_all",
                 password=PASSWORD)
    c.startup("nobody_at_all")
    c.until("R")
    scram(c, PASSWORD)
    c.until("E")
    c.finish()

    c = Recorder(port, "login_no_database", "no such database", user="trusted")
    c.startup("trusted", database="missing")
    c.until("E")
    c.finish()

    c = Recorder(port, "login_negotiate", "protocol 3.2 and an unknown option asked of a 3.0 server", user="trusted",
                 version=196610)
    c.startup("trusted", version=196610, **{"_pq_.turnout": "1"})
    c.until("Z")
    c.finish()


def conversation(port, name, about):
    c = Recorder(port, name, about)
    c.startup("trusted")
    c.until("Z")
    c.quietly()
    return c


def queries(port):
    c = conversation(port, "simple_query", "simple queries: one row, two statements, empty, error, transaction")
    for sql in ("SELECT 1 AS one, NULL AS nothing, 'ä' AS letter", "SELECT 1; SELECT 2", "", "SELECT 1/0", "BEGIN",
                "SELECT nonsense", "SELECT 1", "ROLLBACK"):
        c.send(query(sql))
        c.until("Z")
    c.finish()

    c = conversation(port, "extended_query", "unnamed and named statement, describe, portal in two parts, close")
    c.send(parse("", "SELECT $1::int + 1", (23,)), bind("", "", ("41",)), describe("P", ""), execute(), SYNC)
    c.until("Z")
    c.send(parse("s1", "SELECT generate_series(1, $1::int)"), describe("S", "s1"), SYNC)
    c.until("Z")
    c.send(bind("p1", "s1", ("3",)), execute("p1", 2), execute("p1", 2), SYNC)
    c.until("Z")
    c.send(close("S", "s1"), close("P", "p1"), SYNC)
    c.until("Z")
    c.send(parse("", ""), bind("", ""), describe("P", ""), execute(), SYNC)
    c.until("Z")
    c.finish()

    c = conversation(port, "flush", "Flush brings the replies before the Sync")
    c.send(parse("s1", "SELECT 1"), message("H"))
    c.until("1")
    c.send(bind("", "s1"), execute(), SYNC)
    c.until("Z")
    c.finish()

    c = conversation(port, "error_in_pipeline", "after an error the server skips to the next Sync; then goes on")
    c.send(parse("a", "SELECT 1"), parse("b", "SELECT nonsense"), parse("c", "SELECT 3"), bind("", "a"), execute(), SYNC,
           parse("d", "SELECT 4"), bind("", "d"), execute(), SYNC)
    c.until("Z", 2)
    c.send(bind("", "a"), execute(), SYNC, bind("", "c"), execute(), SYNC)
    c.until("Z", 2)
    c.finish()

    c = conversation(port, "function_call", "FunctionCall of int4pl(40, 2)")
    number = struct.pack("!II", 4, 40) + struct.pack("!II", 4, 2)
    c.send(message("F", struct.pack("!IHHH", 177, 1, 1, 2) + number + struct.pack("!H", 1)))
    c.until("Z")
    c.finish()


def copies(port):
    c = conversation(port, "copy_in", "COPY FROM STDIN by simple query: done, failed by the client, refused data")
    c.send(query("CREATE TEMP TABLE t (n int)"))
    c.until("Z")
    c.send(query("COPY t FROM STDIN"))
    c.until("G")
    c.send(message("d", b"1\n2\n"), message("d", b"3\n"), message("c"))
    c.until("Z")
    c.send(query("COPY t FROM STDIN"))
    c.until("G")
    c.send(message("d", b"1\n"), message("f", text("changed my mind")))
    c.until("Z")
    c.send(query("COPY t FROM STDIN"))
    c.until("G")
    c.send(message("d", b"letters\n"), message("c"))
    c.until("Z")
    c.finish()

    c = conversation(port, "copy_in_extended", "COPY FROM STDIN by Execute: a Sync sent before CopyDone is ignored")
    c.send(query("CREATE TEMP TABLE t (n int)"))
    c.until("Z")
    c.send(parse("", "COPY t FROM STDIN"), bind("", ""), execute(), SYNC)
    c.until("G")
    c.send(message("d", b"1\n"), message("c"), SYNC)
    c.until("Z")
    c.send(parse("", "COPY t FROM STDIN"), bind("", ""), execute(), SYNC)
    c.until("G")
    c.send(message("d", b"letters\n"), message("c"), SYNC)
    c.until("Z")
    c.finish()

    c = conversation(port, "copy_out", "COPY TO STDOUT by simple and by extended query")
    c.send(query("COPY (SELECT generate_series(1, 3)) TO STDOUT"))
    c.until("Z")
    c.send(parse("", "COPY (SELECT 1/(2-n) FROM generate_series(1, 3) n) TO STDOUT"), bind("", ""), execute(), SYNC)
    c.until("Z")
    c.finish()


def asynchronous(port):
    c = conversation(port, "parameter_status", "SET of a reported parameter, and its way back at ROLLBACK")
    for sql in ("SET application_name = 'changed'", "BEGIN", "SET TimeZone = 'UTC'; SET DateStyle = 'German'", "ROLLBACK"):
        c.send(query(sql))
        c.until("Z")
    c.finish()

    c = conversation(port, "notification", "NOTIFY by itself inside the reply, by another session while idle")
    c.send(query("LISTEN news"))
    c.until("Z")
    c.send(query("NOTIFY news, 'own'"))
    c.until("Z")
    other = conversation(port, "unused", "")
    other.send(query("NOTIFY news, 'foreign'"))
    other.until("Z")
    other.socket.close()
    c.until("A")
    c.finish()

    c = conversation(port, "notice", "a NoticeResponse before the CommandComplete")
    c.send(query("DROP TABLE IF EXISTS no_such_table"))
    c.until("Z")
    c.finish()

    c = conversation(port, "terminated", "FATAL to an idle session: an ErrorResponse that nobody asked for")
    c.send(query("SELECT pg_backend_pid()"))
    kind, body = "", b""
    while kind != "D":
        kind, body = c.read()
    c.until("Z")
    other = conversation(port, "unused", "")
    other.send(query(f"SELECT pg_terminate_backend({int(body[6:])})"))
    other.until("Z")
    other.socket.close()
    c.until("E")
    c.finish()


HBA = """\
local all postgres trust
host all cleartext 127.0.0.1/32 password
host all digested 127.0.0.1/32 md5
host all salted 127.0.0.1/32 scram-sha-256
host all nobody_at_all 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    OUT.mkdir(exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="golden-"))
    data = folder / "data"
    as_postgres = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def run(*command, **keywords):
        return subprocess.run([*as_postgres, *map(str, command)], check=True, capture_output=True, text=True, cwd="/",
                              **keywords).stdout

    try:
        if as_postgres:
            shutil.chown(folder, "postgres")
        run(BIN / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "--locale=C", "-E", "UTF8")
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=golden", "-days", "2", "-keyout",
            data / "server.key", "-out", data / "server.crt")
        run("chmod", "600", data / "server.key")
        run("tee", data / "pg_hba.conf", input=HBA)
        port = free_port()
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} -c fsync=off -c ssl=on -c timezone=Europe/Vienna"
        run(BIN / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            def psql(sql):
                return run(BIN / "psql", "-h", folder, "-p", port, "-U", "postgres", "-AtXc", sql).strip().splitlines()[-1]

            psql("CREATE ROLE trusted LOGIN")
            psql(f"CREATE ROLE cleartext LOGIN PASSWORD '{PASSWORD}'")
            psql(f"SET password_encryption = 'md5'; CREATE ROLE digested LOGIN PASSWORD '{PASSWORD}'")
            psql(f"CREATE ROLE salted LOGIN PASSWORD '{PASSWORD}'")
            psql("GRANT pg_signal_backend TO trusted; GRANT CREATE ON SCHEMA public TO trusted")
            secret = "SELECT rolpassword FROM pg_authid WHERE rolname = '{}'"
            logins(port, psql(secret.format("salted")), psql(secret.format("digested")))
            queries(port)
            copies(port)
            asynchronous(port)
        finally:
            run(BIN / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(list(OUT.glob('*.txt')))} files in {OUT}")


if __name__ == "__main__":
    main()
