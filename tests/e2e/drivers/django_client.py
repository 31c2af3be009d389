"""Django's database layer on psycopg2: models, atomic blocks, iterators, bulk work, introspection."""
from __future__ import annotations

import threading
import time
from typing import Any

import django
from common import DATABASE, HOST, PORT, USER, VALUES, Program, in_parallel
from django.conf import settings

OWNER = "django"
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "HOST": HOST, "PORT": PORT, "USER": USER, "NAME": DATABASE,
                           "CONN_MAX_AGE": None, "OPTIONS": {"sslmode": "disable", "options": "-c work_mem=5MB -c search_path=drivers,public"}}},
    USE_TZ=True, TIME_ZONE="Asia/Tokyo", DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
django.setup()

from django.db import Error, connection, models, transaction  # noqa: E402
from django.db.models import Count, F, Sum  # noqa: E402


class Entry(models.Model):
    owner = models.TextField()
    body = models.TextField()
    score = models.IntegerField(null=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "drivers"
        db_table = "entries"
        managed = False


def start() -> Any:
    connection.ensure_connection()
    return connection


program = Program(OWNER, start)
mine = Entry.objects.filter(owner=OWNER)


def refusal(error: Error) -> list[str]:
    return [type(error).__name__, error.__cause__.pgcode, str(error).splitlines()[0]]  # type: ignore[union-attr]


def add(body: str) -> None:
    Entry.objects.create(owner=OWNER, body=body, score=len(body))


def bodies() -> list[str]:
    return list(mine.order_by("body").values_list("body", flat=True))


@program.scenario()
def transactions(_connection: Any) -> Any:
    mine.delete()
    with transaction.atomic():
        add("committed")
        try:
            with transaction.atomic():
                add("given up with its savepoint")
                raise ValueError("give it up")
        except ValueError:
            pass
        with transaction.atomic():
            add("in a savepoint")
    try:
        with transaction.atomic():
            add("rolled back")
            raise ValueError("all of it")
    except ValueError:
        pass
    add("by itself")
    done: list[str] = []
    with transaction.atomic():
        transaction.on_commit(lambda: done.append("on commit"))
        locked = list(mine.select_for_update().order_by("body").values_list("body", flat=True))
    return [bodies(), done, locked]


@program.scenario()
def queries(_connection: Any) -> Any:
    mine.delete()
    Entry.objects.bulk_create([Entry(owner=OWNER, body=f"entry {number:03}", score=number % 7) for number in range(300)], batch_size=90)
    mine.filter(score=3).update(score=F("score") + 100)
    some = list(mine.filter(score__gt=50))
    for entry in some:
        entry.body += " ü"
    Entry.objects.bulk_update(some, ["body"])
    grouped = list(mine.values("score").annotate(number=Count("id"), total=Sum("score")).order_by("score"))
    walked = sum(len(body) for body in mine.values_list("body", flat=True).iterator(chunk_size=40))
    created = Entry.objects.get_or_create(owner=OWNER, body="once")[1], Entry.objects.get_or_create(owner=OWNER, body="once")[1]
    return [grouped, walked, created, mine.filter(body__endswith="ü").count(), mine.order_by("-body")[0].body, mine.none().exists()]


@program.scenario()
def errors(_connection: Any) -> Any:
    seen: list[Any] = []
    with connection.cursor() as cursor:
        for statement in ("SELEC 1", "SELECT 1/0", "SELECT * FROM nowhere", "SELECT 'x'::int"):
            try:
                cursor.execute(statement)
            except Error as error:
                seen.append(refusal(error))
        mine.delete()
        add("first")
        try:
            with transaction.atomic():
                add("lost")
                cursor.execute("INSERT INTO entries (owner) VALUES ('nobody')")
        except Error as error:
            seen.append(refusal(error))
        cursor.execute("SELECT 'usable'")
        return [seen, cursor.fetchone(), bodies()]


@program.scenario()
def types(_connection: Any) -> Any:
    with connection.cursor() as cursor:
        seen = []
        for value in VALUES:
            cursor.execute(f"SELECT CAST({value} AS text)")
            seen.append([value, cursor.fetchone()])
        return seen


@program.scenario()
def parameters(_connection: Any) -> Any:
    with connection.cursor() as cursor:
        seen = []
        for name in ("TimeZone", "search_path", "work_mem", "client_encoding"):
            cursor.execute(f"SHOW {name}")
            seen.append(cursor.fetchone())
        return seen


@program.scenario()
def cancel(_connection: Any) -> Any:
    timer = threading.Timer(0.2, connection.connection.cancel)
    begin = time.monotonic()
    timer.start()
    seen: list[Any] = []
    with connection.cursor() as cursor:
        try:
            cursor.execute("SELECT pg_sleep(30)")
        except Error as error:
            seen = refusal(error)
        timer.join()
        cursor.execute("SELECT 'usable'")
        return [seen, time.monotonic() - begin < 20, cursor.fetchone()]


@program.scenario()
def introspection(_connection: Any) -> Any:
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, "entries")
        constraints = connection.introspection.get_constraints(cursor, "entries")
    return [[[column.name, column.null_ok] for column in columns], sorted([name, value["primary_key"]] for name, value in constraints.items()),
            connection.pg_version > 150000, connection.features.has_bit_xor if hasattr(connection.features, "has_bit_xor") else None]


@program.scenario()
def parallel(_connection: Any) -> Any:
    def session(number: int) -> Any:
        try:  # a thread has a connection of its own
            with connection.cursor() as cursor:
                cursor.execute(f"SET work_mem = '{1000 + number}kB'")
                for turn in range(10):
                    cursor.execute("SELECT %s * %s, current_setting('work_mem')", [turn, number])
                    assert cursor.fetchone() == (turn * number, f"{1000 + number}kB")
            return number
        finally:
            connection.close()

    return in_parallel(session)


if __name__ == "__main__":
    program.main()
