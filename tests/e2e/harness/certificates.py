"""A certificate authority of a few lines: certificates of servers and of clients, by openssl."""
from __future__ import annotations

import subprocess
from pathlib import Path


def _openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


class Authority:
    def __init__(self, home: Path, name: str = "authority") -> None:
        self.home = home
        self.certificate, self._key = home / "ca.crt", home / "ca.key"
        _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", str(self._key), "-out",
                 str(self.certificate))

    def _issue(self, file: str, subject: str, extensions: str) -> tuple[Path, Path]:
        cert, key, wish, text = (self.home / f"{file}.{end}" for end in ("crt", "key", "csr", "ext"))
        text.write_text(extensions)
        _openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", str(key), "-out", str(wish))
        _openssl("x509", "-req", "-in", str(wish), "-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial", "-days", "2",
                 "-extfile", str(text), "-out", str(cert))
        key.chmod(0o600)
        return cert, key

    def server(self) -> tuple[Path, Path]:
        return self._issue("server", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")

    def client(self, name: str, file: str = "") -> tuple[Path, Path]:
        return self._issue(file or f"client-{name}", f"/CN={name}", "extendedKeyUsage=clientAuth\n")
