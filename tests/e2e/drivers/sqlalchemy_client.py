"""SQLAlchemy on psycopg2: its pool, Core, the ORM with savepoints and bulk inserts, reflection."""
from __future__ import annotations

import threading
import time
from typing import Any

from common import DATABASE, HOST, PORT, SESSIONS, USER, USER_VALUES, VALUES, Program, in_parallel
from sqlalchemy import (BigInteger, Column, DateTime, Enum, Integer, MetaData, Numeric, String, Table, create_engine, event, func, insert, inspect,
                        select, text, update)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session, declarative_base

OWNER = "sqlalchemy"
Base = declarative_base()
items = Table("items", MetaData(), Column("owner", String, primary_key=True), Column("id", Integer, primary_key=True),
              Column("name", String), Column("amount", Numeric), schema="drivers")


class Entry(Base):  # type: ignore[misc, valid-type]
    __tablename__ = "entries"
    __table_args__ = {"schema": "drivers"}
    id = Column(BigInteger, primary_key=True)
    owner = Column(String)
    body = Column(String)
    score = Column(Integer)
    colour = Column(Enum("red", "green", "blue", name="colour", schema="drivers"))
    at = Column(DateTime(timezone=True), server_default=func.now())


def make_engine(**more: Any) -> Any:
    return create_engine(f"postgresql+psycopg2://{USER}@{HOST}:{PORT}/{DATABASE}", future=True,
                         connect_args={"sslmode": "disable", "options": "-c work_mem=5MB"}, **more)


program = Program(OWNER, lambda: make_engine(pool_size=SESSIONS), lambda engine: engine.dispose())


def refusal(error: DBAPIError) -> list[str]:
    return [type(error).__name__, error.orig.pgcode, str(error.orig).splitlines()[0]]


def empty(engine: Any) -> None:
    with engine.begin() as connection:
        connection.execute(items.delete().where(items.c.owner == OWNER))
        connection.execute(text("DELETE FROM drivers.entries WHERE owner = :owner"), {"owner": OWNER})


def names(engine: Any) -> Any:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(items.c.id, items.c.name).where(items.c.owner == OWNER).order_by(items.c.id))]


@program.scenario(movable=True)
def transactions(engine: Any) -> Any:
    empty(engine)
    with engine.begin() as connection:
        connection.execute(insert(items).values(owner=OWNER, id=1, name="committed"))
        nested = connection.begin_nested()
        connection.execute(insert(items).values(owner=OWNER, id=2, name="given up"))
        nested.rollback()
        with connection.begin_nested():
            connection.execute(insert(items).values(owner=OWNER, id=3, name="in a savepoint"))
    with engine.connect() as connection:
        connection.execute(insert(items).values(owner=OWNER, id=4, name="never committed"))
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        level = connection.execute(text("SHOW transaction_isolation")).scalar()
        connection.rollback()
    with engine.connect() as connection:
        after = connection.execute(text("SHOW transaction_isolation")).scalar()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(insert(items).values(owner=OWNER, id=5, name="alone"))
    return [names(engine), level, after]


@program.scenario(movable=True)
def orm(engine: Any) -> Any:
    empty(engine)
    with Session(engine) as session:
        session.add_all([Entry(owner=OWNER, body=f"entry {number}", score=number, colour="red") for number in range(50)])
        session.commit()
        for entry in session.query(Entry).filter(Entry.owner == OWNER, Entry.score < 10):
            entry.colour, entry.body = "blue", entry.body + " ü"
        session.flush()
        with session.begin_nested() as savepoint:
            session.execute(update(Entry).where(Entry.owner == OWNER).values(score=0).execution_options(synchronize_session=False))
            savepoint.rollback()
        session.commit()
        counted = session.execute(select(Entry.colour, func.count(), func.sum(Entry.score)).where(Entry.owner == OWNER)
                                  .group_by(Entry.colour).order_by(Entry.colour)).all()
        first = session.execute(select(Entry).where(Entry.owner == OWNER).order_by(Entry.score).limit(1)).scalar_one()
        seen = [[tuple(row) for row in counted], first.body, first.colour]
        session.delete(first)
        session.commit()
        return seen + [session.query(Entry).filter_by(owner=OWNER).count()]


@program.scenario(movable=True)
def batch(engine: Any) -> Any:
    empty(engine)
    fast = make_engine(executemany_mode="values_plus_batch")
    with fast.begin() as connection:
        connection.execute(insert(items), [{"owner": OWNER, "id": number, "name": f"row {number}"} for number in range(1500)])
    with engine.begin() as connection:
        connection.execute(text("UPDATE drivers.items SET amount = :amount WHERE owner = :owner AND id = :id"),
                           [{"owner": OWNER, "id": number, "amount": number * 2} for number in range(50)])
    fast.dispose()
    with engine.connect() as connection:
        return tuple(connection.execute(select(func.count(), func.sum(items.c.amount)).where(items.c.owner == OWNER)).one())


@program.scenario(movable=True)
def errors(engine: Any) -> Any:
    empty(engine)
    seen: list[Any] = []
    for statement in ("SELEC 1", "SELECT 1/0", "SELECT * FROM nowhere", "SELECT 'x'::int"):
        with engine.connect() as connection:
            try:
                connection.execute(text(statement))
            except DBAPIError as error:
                seen.append(refusal(error))
    with Session(engine) as session:
        session.execute(insert(items).values(owner=OWNER, id=1, name="first"))
        session.commit()
        session.execute(insert(items).values(owner=OWNER, id=2, name="lost"))
        try:
            session.execute(insert(items).values(owner=OWNER, id=1, name="again"))
        except IntegrityError as error:
            seen.append(refusal(error))
        session.rollback()
        seen.append(session.execute(text("SELECT 'usable'")).scalar())
    return seen + [names(engine)]


@program.scenario(movable=True)
def cursors(engine: Any) -> Any:
    with engine.connect().execution_options(stream_results=True, max_row_buffer=70) as connection:
        streamed = connection.execute(text("SELECT n, n * 2 FROM generate_series(1, 500) AS n"))
        parts = [len(part) for part in streamed.partitions(120)]
        half = connection.execute(text("SELECT generate_series(1, 10000)"))
        first = half.fetchmany(3)
        half.close()
    return [parts, [tuple(row) for row in first]]


@program.scenario(movable=True)
def cancel(engine: Any) -> Any:
    with engine.connect() as connection:
        timer = threading.Timer(0.2, connection.connection.dbapi_connection.cancel)
        begin = time.monotonic()
        timer.start()
        try:
            connection.execute(text("SELECT pg_sleep(30)"))
        except DBAPIError as error:
            seen = refusal(error)
        timer.join()
        connection.rollback()
        return [seen, time.monotonic() - begin < 20, connection.execute(text("SELECT 'usable'")).scalar()]


@program.scenario(movable=True)
def types(engine: Any) -> Any:
    with engine.connect() as connection:
        return [[value, str(connection.exec_driver_sql(f"SELECT CAST({value} AS text)").scalar())] for value in VALUES]


@program.scenario()
def user_types(engine: Any) -> Any:
    with engine.connect() as connection:
        return [[value, str(connection.exec_driver_sql(f"SELECT {value}").scalar())] for value in USER_VALUES]


@program.scenario()
def reflection(engine: Any) -> Any:
    inspector = inspect(engine)
    columns = [[column["name"], str(column["type"]), column["nullable"]] for column in inspector.get_columns("entries", schema="drivers")]
    return [columns, inspector.get_pk_constraint("items", schema="drivers"), inspector.get_table_names(schema="drivers"),
            [enum["labels"] for enum in inspector.get_enums(schema="drivers")]]


@program.scenario(movable=True)
def pool_events(engine: Any) -> Any:
    """What a connection was set to at connect stays, however often it is checked in and out."""
    own = make_engine(pool_size=2, max_overflow=0, pool_pre_ping=True)

    @event.listens_for(own, "connect")
    def _arrange(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET search_path TO drivers, public")
        connection.commit()

    seen = []
    for _ in range(6):
        with own.connect() as connection:
            seen.append([connection.execute(text("SHOW search_path")).scalar(),
                         connection.execute(text("SELECT count(*) >= 0 FROM items")).scalar()])
    own.dispose()
    return seen


@program.scenario()
def two_phase(engine: Any) -> Any:
    empty(engine)
    with engine.connect() as connection:
        transaction = connection.begin_twophase("sqlalchemy one")
        connection.execute(insert(items).values(owner=OWNER, id=1, name="prepared"))
        transaction.prepare()
        transaction.commit()
        transaction = connection.begin_twophase("sqlalchemy two")
        connection.execute(insert(items).values(owner=OWNER, id=2, name="taken back"))
        transaction.prepare()
        waiting = connection.recover_twophase()
        transaction.rollback()
    return [names(engine), sorted(waiting)]


@program.scenario(movable=True)
def parallel(engine: Any) -> Any:
    def session(number: int) -> Any:
        with engine.connect() as connection:
            connection.execute(text(f"SET work_mem = '{1000 + number}kB'"))
            connection.commit()
            sums = 0
            for turn in range(10):
                value, memory = connection.execute(text("SELECT CAST(:turn AS int) * :number, current_setting('work_mem')"),
                                                   {"turn": turn, "number": number}).one()
                assert (value, memory) == (turn * number, f"{1000 + number}kB"), (value, memory)
                connection.commit()
                sums += value
            connection.execute(text("SET work_mem = '5MB'"))
            connection.commit()
            return sums

    return in_parallel(session)


if __name__ == "__main__":
    program.main()
