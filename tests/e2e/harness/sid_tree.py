"""The Debian sid tree in .cache/sid: programs that Debian 12 has not, run by the tree's own loader and libraries.

One maker for all who want something in it: what is there stays, what is missing is added. Making it needs root, running a
program of it neither root nor chroot. Programs are unpacked without their maintainer scripts, which would make accounts
and start services; only libraries are installed.

    python3 tests/e2e/harness/sid_tree.py mysql pgbouncer        (`./dev setup --mysql`, `./dev bench --setup`)
"""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parents[3] / ".cache/sid"
_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib/mysql/private", "usr/lib/mysql-router")
_MIRROR = "http://deb.debian.org/debian"


class CannotMake(Exception):
    """The text says why and what to do."""


@dataclass(frozen=True)
class Wanted:
    program: str  # in the tree, when all of it is there
    packages: tuple[str, ...]  # unpacked
    libraries: tuple[str, ...]  # installed, with what they need


_MYSQL = ("libaio1t64", "libcurl4t64", "libedit2", "libfido2-1", "libgoogle-perftools4t64", "libgssapi-krb5-2", "libicu78", "liblz4-1",
          "libmecab2", "libnuma1", "libprotobuf-lite32t64", "libprotobuf32t64", "libssl3t64", "libtirpc3t64", "libzstd1")
WANTED = {
    "pgbouncer": Wanted("usr/sbin/pgbouncer", ("pgbouncer",), ("libcares2", "libevent-2.1-7t64", "libldap2", "libpam0g",
                                                               "libssl3t64", "libsystemd0")),
    "mysql": Wanted("usr/sbin/mysqld", ("mysql-client-core", "mysql-server-core"), _MYSQL),
    "mysql-router": Wanted("usr/bin/mysqlrouter", ("mysql-router",), _MYSQL),
}


def has(name: str) -> bool:
    return (TREE / WANTED[name].program).exists()


def command(program: str) -> list[str]:
    """`program` is a path inside the tree."""
    libraries = ":".join(str(TREE / folder) for folder in _LIBRARIES)
    return [str(TREE / "lib64/ld-linux-x86-64.so.2"), "--library-path", libraries, str(TREE / program)]


def version(name: str) -> str:
    return subprocess.run([*command(WANTED[name].program), "--version"], capture_output=True, text=True,
                          check=True).stdout.splitlines()[0]


def _run(*words: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise CannotMake(f"{' '.join(words)} failed:\n" + "\n".join(done.stdout.splitlines()[-15:]))


def _in_tree(*words: str) -> None:
    _run("chroot", str(TREE), *words)


def _bootstrap() -> None:
    if not shutil.which("debootstrap"):
        raise CannotMake("debootstrap is missing: `apt-get install debootstrap`")
    print(f"debootstrap of Debian sid into {TREE} (about half a minute)", file=sys.stderr, flush=True)
    partial = TREE.with_name("sid.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(exist_ok=True)
    _run("debootstrap", "--variant=minbase", "sid", str(partial), _MIRROR)
    shutil.rmtree(TREE, ignore_errors=True)  # what has no apt is the rest of something
    partial.rename(TREE)


def ensure(*names: str) -> None:
    """Makes the tree where there is none, and adds what of `names` it has not."""
    missing = [WANTED[name] for name in names if not has(name)]
    if not missing:
        return
    if os.geteuid() != 0:
        raise CannotMake(f"{', '.join(names)} in {TREE}: making it needs root")
    if not (TREE / "usr/bin/apt-get").exists():
        _bootstrap()
    print(f"adding {', '.join(' '.join(one.packages) for one in missing)} to {TREE}", file=sys.stderr, flush=True)
    # The mirror's release file may be older than it allows.
    _in_tree("apt-get", "-q", "-o", "Acquire::Check-Valid-Until=false", "update")
    for one in missing:
        _in_tree("apt-get", "-q", "-y", "install", "--no-install-recommends", *one.libraries)
        _in_tree("sh", "-ec", 'cd "$(mktemp -d)"; apt-get -q download "$@"; for file in *.deb; do dpkg -x "$file" /; done; '
                 'rm -rf "$PWD"', "unpack", *one.packages)
    _in_tree("sh", "-c", "apt-get clean; rm -rf /var/lib/apt/lists/* /usr/share/doc /usr/share/locale")


if __name__ == "__main__":
    try:
        ensure(*sys.argv[1:])
        for each in sys.argv[1:]:
            print(version(each))
    except (CannotMake, KeyError) as error:
        sys.exit(f"sid tree: {error}")
