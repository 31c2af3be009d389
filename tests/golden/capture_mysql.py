#!/usr/bin/python3
"""Records golden byte vectors: what a real MariaDB 10.11, and a MySQL 9.7, say in conversations we care about.

    apt-get install mariadb-server mariadb-client python3-pymysql      (`./dev packages golden`)
    ./dev setup --mysql                                                 (only for MySQL: a Debian sid tree in .cache/sid)
    /usr/bin/python3 tests/golden/capture_mysql.py [mariadb10] [mysql97] [--only STORY …]
writes tests/golden/{mariadb10,mysql97}/*.txt. The server runs as an ordinary user, in a temporary directory, on a free
loopback port, and is gone afterwards. A file is lines of
    # comment
    = name value             facts that the test needs: capabilities, passwords
    > hex                    client to server, one packet, header included
    < hex                    server to client, one packet
"""
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from mysql_wire import (ATTRIBUTES, BASE, BULK, CACHED_METADATA, DEPRECATE_EOF, EXTENDED_METADATA, LOCAL_FILES,
                        OPTIONAL_METADATA, PROGRESS, QUERY_ATTRIBUTES, Recorder, Relay, counted)

HERE = pathlib.Path(__file__).resolve().parent
SID = HERE.parent.parent / ".cache/sid"
PASSWORD = "correct horse, battery"
LONG = b"\x08\0"  # type LONGLONG, signed
STRING = b"\xfd\0"


class Server:
    """A server of its own; `login` is the account that conversations use, without a password."""

    def __init__(self, kind):
        self.kind, self.out = kind, HERE / kind
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="golden-"))
        self.data = self.folder / "data"
        self.user = "nobody" if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.folder, self.user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.plugin = "mysql_native_password" if kind == "mariadb10" else "caching_sha2_password"

    def program(self, name):
        if self.kind == "mariadb10":
            return [name]
        loader = [str(SID / "lib64/ld-linux-x86-64.so.2"), "--library-path", ":".join(
            str(SID / f"usr/lib/{part}") for part in ("x86_64-linux-gnu", "mysql/private"))]
        path = next(SID / part / name for part in ("usr/sbin", "usr/bin") if (SID / part / name).exists())
        return [*loader, str(path)]

    def run(self, *command, **keywords):
        return subprocess.run([*map(str, command)], check=True, capture_output=True, user=self.user, cwd="/", **keywords)

    def certificate(self):
        self.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=golden", "-days", "2", "-keyout",
                 self.folder / "key.pem", "-out", self.folder / "cert.pem")
        self.run("openssl", "rsa", "-in", self.folder / "key.pem", "-out", self.folder / "key.pem")

    def start(self):
        self.out.mkdir(exist_ok=True)
        self.certificate()
        common = [f"--datadir={self.data}", f"--ssl-cert={self.folder}/cert.pem", f"--ssl-key={self.folder}/key.pem",
                  f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid", "--bind-address=127.0.0.1",
                  f"--port={self.port}", "--local-infile=1", "--server-id=7", f"--tmpdir={self.folder}"]
        setup = self.folder / "setup.sql"
        setup.write_text(SETUP[self.kind])
        if self.kind == "mariadb10":
            self.run("mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal",
                     "--skip-test-db")
            command = ["mariadbd", "--no-defaults", *common, "--log-bin=binlog", "--plugin-load-add=auth_ed25519"]
        else:
            mysqld = [*self.program("mysqld"), "--no-defaults", f"--lc-messages-dir={SID}/usr/share/mysql",
                      f"--character-sets-dir={SID}/usr/share/mysql/charsets", f"--plugin-dir={SID}/usr/lib/mysql/plugin"]
            self.run(*mysqld, "--initialize-insecure", f"--datadir={self.data}")
            command = [*mysqld, *common, "--mysqlx=OFF", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--secure-file-priv=",
                       f"--caching-sha2-password-private-key-path={self.folder}/key.pem"]
            self.run("openssl", "rsa", "-in", self.folder / "key.pem", "-pubout", "-out", self.data / "public_key.pem")
            self.run("cp", self.folder / "key.pem", self.data / "private_key.pem")
            command[-1:] = []
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen([*command, f"--init-file={setup}"], stdout=log, stderr=log, user=self.user, cwd="/")
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        sys.exit((self.folder / "log").read_text()[-4000:])

    def stop(self):
        if hasattr(self, "process"):
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        shutil.rmtree(self.folder)


GRANTS = "GRANT ALL ON *.* TO app@'%';\n"
COMMON_SETUP = ("CREATE DATABASE shop;\nCREATE DATABASE other;\n"
                "CREATE TABLE shop.item (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40));\n"
                "INSERT INTO shop.item (name) VALUES ('one'), ('two'), (NULL), ('four'), ('five');\n"
                "CREATE PROCEDURE shop.twice() BEGIN SELECT 1; SELECT id FROM shop.item WHERE id < 3; END;\n"
                "CREATE PROCEDURE shop.out_of(OUT a INT) SET a = 42;\n")
SETUP = {
    "mariadb10": "CREATE USER app@'%';\n" + GRANTS +
                 f"CREATE USER nat@'%' IDENTIFIED BY '{PASSWORD}';\n"
                 f"CREATE USER edd@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{PASSWORD}');\n"
                 + COMMON_SETUP,
    "mysql97": "CREATE USER app@'%' IDENTIFIED BY '';\n" + GRANTS +
               f"CREATE USER sha@'%' IDENTIFIED BY '{PASSWORD}';\n"
               f"CREATE USER rsa@'%' IDENTIFIED BY '{PASSWORD}';\n"
               f"CREATE USER old@'%' IDENTIFIED WITH sha256_password BY '{PASSWORD}';\n" + COMMON_SETUP,
}


def conversation(server, name, about, capabilities, database="shop"):
    c = Recorder(server.out, server.port, name, about)
    ok = c.login("app", "", capabilities, server.plugin, database=database)
    assert ok[0] == 0, ok
    c.fact("status", c.status_of(ok))
    c.quietly()
    return c


def both(server, name, about, capabilities=0):
    """The same story in both forms of the end of rows."""
    yield conversation(server, name, about, BASE | capabilities | DEPRECATE_EOF)
    yield conversation(server, name + "_eof", about + ", without DEPRECATE_EOF", BASE | capabilities)


def texts(server):
    for c in both(server, "text_queries", "rows, no rows, OK, errors, several statements, an error in their midst, CALL"):
        for sql in ("SELECT 1 AS one, NULL AS nothing, 'ä' AS letter", "SELECT * FROM item", "SELECT * FROM item WHERE id > 99",
                    "DO 1", "SELECT nonsense", "SELECT 1; SELECT 2", "DO 1; SELECT 1; DO 2", "SELECT 1; SELECT nonsense; SELECT 3",
                    "CALL twice()", "INSERT INTO item (name) VALUES ('x')", "DELETE FROM item WHERE id > 5", "SELECT 1/0",
                    "SHOW WARNINGS", "SELECT REPEAT('x', 300)", "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'ours'"):
            c.query(sql)
        c.finish()
    for c in both(server, "transactions", "status flags: transactions, autocommit = 0, an error inside, implicit commit"):
        for sql in ("BEGIN", "INSERT INTO item VALUES (90, 'x')", "INSERT INTO item VALUES (90, 'x')", "SELECT 1", "ROLLBACK",
                    "SET autocommit = 0", "SELECT 1", "SELECT COUNT(*) FROM item", "COMMIT", "SET autocommit = 1",
                    "START TRANSACTION READ ONLY", "SELECT COUNT(*) FROM item", "COMMIT", "BEGIN",
                    "CREATE TABLE IF NOT EXISTS late (n INT)", "SELECT 1"):
            c.query(sql)
        c.finish()
    for c in both(server, "commands", "the commands that are no queries"):
        c.simple(b"\x0e")
        c.simple(b"\x02other")
        c.simple(b"\x02missing")
        c.simple(b"\x02shop")
        c.simple(b"\x09")
        c.simple(b"\x1b\1\0")
        c.query("SELECT 1; SELECT 2")
        c.simple(b"\x1b\0\0")
        c.simple(b"\x1b\7\0")
        if server.kind == "mariadb10":
            c.field_list("item")
            c.field_list("missing")
        c.simple(b"\x0c" + struct.pack("<I", 999999))
        c.command(b"\x0a")
        c.results()
        c.simple(b"\x0d")
        c.simple(b"\x1f")
        c.simple(b"\x77")
        c.finish()


def statements(server):
    for c in both(server, "prepared", "prepare, execute with types and without, long data, reset, close, errors"):
        c.prepare("SELECT id, name FROM item WHERE id = ? OR name = ?")
        c.execute(b"\0\1" + LONG + STRING + struct.pack("<q", 1) + counted(b"two"))
        c.execute(b"\0\0" + struct.pack("<q", 2) + counted(b"four"))
        c.execute(b"\2\1" + LONG + b"\6\0" + struct.pack("<q", 2))
        c.statement(0x18, b"\1\0" + b"fi")
        c.statement(0x18, b"\1\0" + b"ve")
        c.execute(b"\0\1" + LONG + STRING + struct.pack("<q", 1))
        c.statement(0x1a)
        c.read()
        c.execute(b"\0\0" + struct.pack("<q", 2) + counted(b"four"))
        c.statement(0x19)
        c.execute(b"\0\0", statement=c.prepared)
        c.prepare("SELECT nonsense")
        c.prepare("DO 1")
        c.execute()
        c.prepare("DO ?")
        c.execute(b"\0\1" + LONG + struct.pack("<q", 1))
        c.prepare("SELECT 1, 2")
        c.execute()
        c.prepare("INSERT INTO item (id, name) VALUES (1, ?)")
        c.execute(b"\0\1" + STRING + counted(b"twice"))
        c.prepare("CALL twice()")
        c.execute()
        c.prepare("CALL out_of(?)")
        c.execute(b"\0\1" + LONG + struct.pack("<q", 1))
        c.simple(b"\x0e")
        c.finish()
    for c in both(server, "cursors", "a cursor opened, fetched to its end, opened again, closed; asked for where there is none"):
        c.prepare("SELECT id FROM item WHERE id < 6 ORDER BY id")
        c.execute(flags=1)
        for _ in range(4):
            c.fetch(2)
        c.execute(flags=1)
        c.fetch(1)
        c.statement(0x1a)
        c.read()
        c.fetch(1)
        c.execute(flags=1)
        c.statement(0x19)
        c.prepare("DO 1")
        c.execute(flags=1)
        c.prepare("SHOW DATABASES")
        if server.kind == "mariadb10" or c.capabilities & DEPRECATE_EOF:
            c.execute(flags=1)
            c.fetch(100)
        c.finish()


def trackers(server):
    for c in both(server, "trackers", "everything that the server tells of its session"):
        names = "autocommit, sql_mode, time_zone" + (", last_gtid" if server.kind == "mariadb10" else "")
        c.query(f"SET session_track_schema = ON, session_track_system_variables = '{names}', "
                "session_track_state_change = ON, session_track_transaction_info = 'CHARACTERISTICS'")
        if server.kind == "mysql97":
            c.query("SET session_track_gtids = OWN_GTID")
        for sql in ("USE other", "USE shop", "SET sql_mode = 'ANSI', time_zone = '+01:00'", "SET @a = 1", "SELECT @a",
                    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION READ WRITE",
                    "INSERT INTO item VALUES (80, 'x')", "SELECT * FROM item WHERE id = 80", "COMMIT", "DELETE FROM item WHERE id = 80",
                    "LOCK TABLES item READ", "UNLOCK TABLES", "CREATE TEMPORARY TABLE t (n INT)", "SET NAMES utf8mb4"):
            c.query(sql)
        c.simple(b"\x1f")
        c.finish()


def infile(server):
    for c in both(server, "local_infile", "LOAD DATA LOCAL: sent, and refused with nothing; and an error instead", LOCAL_FILES):
        sql = "LOAD DATA LOCAL INFILE '{}' INTO TABLE item (id, name)"
        c.query(sql.format("some/file"), file=[b"70\tseventy\n", b"71\tx\n"])
        c.query(sql.format("some/file"))
        c.query("DELETE FROM item WHERE id >= 70")
        c.query("LOAD DATA LOCAL INFILE 'f' INTO TABLE missing")
        c.finish()
    c = conversation(server, "local_infile_refused", "LOAD DATA LOCAL of a client that does not offer it", BASE | DEPRECATE_EOF)
    c.query("LOAD DATA LOCAL INFILE 'f' INTO TABLE item")
    c.finish()


def interrupted(server):
    for c in both(server, "interrupted", "KILL QUERY in the midst of rows; then the server ends an idle connection"):
        c.query("SELECT CONNECTION_ID()")
        own = int(bytes.fromhex(c.lines[-2][2:])[5:])
        other = conversation(server, "unused", "", BASE | DEPRECATE_EOF)
        c.command(b"\3" + b"SELECT id, SLEEP(IF(id = 2, 20, 0)) FROM item WHERE id < 4 ORDER BY id")
        time.sleep(1)
        other.query(f"KILL QUERY {own}")
        c.results()
        c.query("SET wait_timeout = 1")
        if server.kind == "mysql97":
            c.read()
        other.socket.close()
        c.finish()


def own_words(server):
    """What only one of the two products has."""
    if server.kind == "mariadb10":
        for c in both(server, "mariadb_extended", "bulk execution, extended and cached metadata", BULK | EXTENDED_METADATA |
                      CACHED_METADATA | PROGRESS):
            c.query("SELECT id, name, JSON_EXTRACT('{}', '$') AS j FROM item LIMIT 1")
            c.prepare("INSERT INTO item (id, name) VALUES (?, ?)")
            rows = b"".join(b"\0" + struct.pack("<q", n) + b"\0" + counted(b"bulk") for n in (60, 61))
            c.command(b"\xfa" + struct.pack("<IH", c.prepared, 128) + LONG + STRING + rows)
            c.results()
            c.query("DELETE FROM item WHERE id >= 60")
            c.prepare("SELECT id, name FROM item WHERE id < ?")
            for _ in range(2):
                c.execute(b"\0\1" + LONG + struct.pack("<q", 3))
            c.finish()
        c = conversation(server, "mariadb_progress", "progress reports before the OK", BASE | DEPRECATE_EOF | PROGRESS | BULK)
        c.query("SET progress_report_time = 1, max_statement_time = 30")
        c.query("CREATE TABLE wide ENGINE = MyISAM AS SELECT seq AS n, REPEAT('x', 200) AS t FROM seq_1_to_200000")
        c.command(b"\3ALTER TABLE wide ADD KEY (t), ADD KEY (n), ADD KEY (t, n)")
        while c.read()[:3] == b"\xff\xff\xff":
            pass
        c.query("DROP TABLE wide")
        c.finish()
        return
    for c in both(server, "mysql_attributes", "query attributes, of a text and of an execution", QUERY_ATTRIBUTES):
        values = counted(b"abc") + struct.pack("<q", 5)
        attributes = b"\3\1" + b"\4\1" + STRING + counted(b"trace") + LONG + counted(b"n") + b"\6\0" + counted(b"none")
        c.command(b"\3" + attributes + values + b"SELECT 1")
        c.results()
        c.query("SELECT 2")
        c.prepare("SELECT ?")
        c.execute(b"\2" + b"\0\1" + LONG + counted(b"") + STRING + counted(b"trace") + struct.pack("<q", 7) + counted(b"x"), flags=8)
        c.execute(b"\1" + b"\0\0" + struct.pack("<q", 7), flags=8)
        c.execute(b"\0\1" + LONG + counted(b"") + struct.pack("<q", 7))
        c.finish()
    for c in both(server, "mysql_metadata", "resultset_metadata = NONE", OPTIONAL_METADATA):
        c.query("SELECT id, name FROM item LIMIT 2")
        c.prepare("SELECT id, name FROM item WHERE id = ?")
        c.execute(b"\0\1" + LONG + struct.pack("<q", 1))
        c.query("SET resultset_metadata = NONE")
        c.query("SELECT id, name FROM item LIMIT 2")
        c.execute(b"\0\1" + LONG + struct.pack("<q", 1))
        c.prepare("SELECT id, name FROM item WHERE id = ?")
        c.execute(b"\0\1" + LONG + struct.pack("<q", 1))
        c.finish()


def login(server, name, about, user, password, plugin=None, tls=False, database=None, right=True, capabilities=0):
    c = Recorder(server.out, server.port, "login_" + name, about, user=user, password=password or "-", tls=int(tls))
    answer = c.login(user, password, BASE | DEPRECATE_EOF | ATTRIBUTES | capabilities, plugin or server.plugin, tls, database)
    assert (answer[0] == 0) == right, (name, answer)
    return c


def logins(server):
    login(server, "empty", "no password", "app", "", database="shop").finish()
    login(server, "empty_tls", "no password, inside TLS", "app", "", tls=True).finish()
    login(server, "no_database", "a database that is not there", "app", "", database="missing", right=False).finish()
    user = "nat" if server.kind == "mariadb10" else "sha"
    login(server, "unknown", "no such user", "nobody_at_all", PASSWORD, right=False).finish()
    if server.kind == "mariadb10":
        login(server, "native", "mysql_native_password", user, PASSWORD).finish()
        login(server, "native_tls", "mysql_native_password inside TLS", user, PASSWORD, tls=True).finish()
        login(server, "native_switch", "the client begins with another plugin", user, PASSWORD, "caching_sha2_password").finish()
    else:
        login(server, "sha2_rsa", "caching_sha2_password, full, with the server's public key", "rsa", PASSWORD).finish()
        login(server, "sha2_full", "caching_sha2_password, full, inside TLS", user, PASSWORD, tls=True).finish()
        login(server, "sha2_fast", "caching_sha2_password, the server remembers", user, PASSWORD).finish()
        login(server, "sha2_switch", "the client begins with another plugin", user, PASSWORD, "mysql_native_password").finish()
        login(server, "sha256_rsa", "sha256_password with the server's public key", "old", PASSWORD).finish()
        login(server, "sha256_tls", "sha256_password inside TLS", "old", PASSWORD, tls=True).finish()
    login(server, "wrong", "a wrong password", user, "wrong", right=False).finish()
    c = login(server, "change_user", "COM_CHANGE_USER to a user with a password, and back", "app", "")
    c.fact("changed_to", user)
    c.fact("changed_password", PASSWORD)
    for name, password in ((user, PASSWORD), (user, "wrong")):
        c.command(b"\x11" + name.encode() + b"\0" + b"\0" + b"\0" + b"\x2d\0" + server.plugin.encode() + b"\0" + b"\0")
        c.finish_login(password, False)
    c.finish()


def ed25519(server):
    """The server's own client signs: libmariadb knows how."""
    if server.kind != "mariadb10":
        return
    relay = Relay(server.port)
    subprocess.run(["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{relay.port}", "-uedd", f"-p{PASSWORD}", "--skip-ssl", "-e",
                    "SELECT 1"],
                   check=True, capture_output=True,
                   env={**os.environ, "MARIADB_PLUGIN_DIR": "/usr/lib/x86_64-linux-gnu/libmariadb3/plugin"})
    relay.finish(server.out, "client_ed25519", "the mariadb program logs in with client_ed25519; password " + PASSWORD)


def programs(server):
    """Whole sessions of other people's clients."""
    if server.kind == "mariadb10":
        import pymysql
        relay = Relay(server.port)
        connection = pymysql.connect(host="127.0.0.1", port=relay.port, user="nat", password=PASSWORD, database=None)
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s, 'ü'", ("x",))
            cursor.fetchall()
            try:
                cursor.execute("SELECT nonsense")
            except pymysql.err.OperationalError:
                pass
        connection.begin()
        connection.rollback()
        connection.ping()
        connection.close()
        relay.finish(server.out, "client_pymysql", "PyMySQL 1.0: connect, queries, transaction, ping, quit")
    name = "mariadb" if server.kind == "mariadb10" else "mysql"
    off = ["--skip-ssl"] if name == "mariadb" else ["--ssl-mode=DISABLED"]
    relay = Relay(server.port)
    sql = "SELECT * FROM item; USE other; SELECT nonsense; BEGIN; COMMIT; SHOW TABLES;"
    sql = ("query_attributes trace abc\n" if name == "mysql" else "") + sql
    server.run(*server.program(name), "--no-defaults", "-h127.0.0.1", f"-P{relay.port}", "-uapp", *off, "--force", "shop",
               input=sql.encode())
    relay.finish(server.out, f"client_{name}", f"the {name} program: a script with an error, --force")


def main():
    stories = (texts, statements, trackers, infile, interrupted, own_words, logins, programs, ed25519)
    wanted = sys.argv[sys.argv.index("--only") + 1:] if "--only" in sys.argv else [tell.__name__ for tell in stories]
    for kind in [word for word in sys.argv[1:] if word in SETUP] or list(SETUP):
        if kind == "mysql97" and not (SID / "usr/sbin/mysqld").exists():
            print("no MySQL: ./dev setup --mysql")
            continue
        server = Server(kind)
        try:
            server.start()
            for tell in stories:
                if tell.__name__ in wanted:
                    tell(server)
        finally:
            server.stop()
        print(kind, len(list(server.out.glob("*.txt"))), "files")


if __name__ == "__main__":
    main()
