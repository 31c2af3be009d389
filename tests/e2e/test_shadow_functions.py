"""The shadow and stable functions of the user: what was changed on green is found, what the clock does is no difference."""
from __future__ import annotations

from typing import Any

import pytest

from harness.pair import Pair
from harness.shadowed import differing, on, shape_of, wait_for
from harness.turnout import Turnout

CHANGES: dict[str, Any] = {"shadow": {"brackets": 2}}

SCHEMA = """
CREATE TABLE sf_orders (id int PRIMARY KEY, total int, version int);
CREATE UNLOGGED TABLE sf_cache (id int);
CREATE FUNCTION sf_sum(n int) RETURNS bigint STABLE LANGUAGE sql AS 'SELECT sum(total) {bonus} FROM sf_orders WHERE id <= n';
CREATE FUNCTION sf_best(n int) RETURNS int STABLE LANGUAGE plpgsql AS
  $$DECLARE best int; BEGIN SELECT max(total) INTO best FROM sf_orders WHERE id <= n AND version = 1; RETURN best {bonus}; END$$;
CREATE FUNCTION sf_atomic(n int) RETURNS bigint STABLE LANGUAGE sql BEGIN ATOMIC SELECT sf_sum(n); END;
CREATE FUNCTION sf_equal(n int) RETURNS SETOF sf_orders STABLE LANGUAGE plpgsql AS
  $$BEGIN RETURN QUERY SELECT * FROM sf_orders WHERE id < n ORDER BY id; END$$;
CREATE FUNCTION sf_moment() RETURNS text STABLE LANGUAGE sql AS 'SELECT now()::text || count(*) FROM sf_orders';
CREATE FUNCTION sf_second() RETURNS text STABLE LANGUAGE plpgsql AS $$BEGIN RETURN date_trunc('second', clock_timestamp())::text; END$$;
CREATE FUNCTION sf_chance() RETURNS float8 STABLE LANGUAGE sql AS 'SELECT random() FROM sf_orders LIMIT 1';
CREATE FUNCTION sf_backend() RETURNS int STABLE LANGUAGE sql AS 'SELECT pg_backend_pid()';
CREATE FUNCTION sf_number() RETURNS oid STABLE LANGUAGE sql AS $$SELECT 'sf_orders'::regclass::oid$$;
CREATE FUNCTION sf_cached() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM sf_cache';
CREATE FUNCTION sf_built(t text) RETURNS bigint STABLE LANGUAGE plpgsql AS
  $$DECLARE n bigint; BEGIN EXECUTE 'SELECT count(*) FROM ' || t INTO n; RETURN n; END$$;
CREATE FUNCTION sf_drawn() RETURNS int VOLATILE LANGUAGE sql AS 'SELECT 1';
GRANT SELECT ON sf_orders, sf_cache TO app;
"""
CHANGED = ("sf_sum", "sf_best", "sf_atomic")
OF_THE_CLOCK = ("sf_moment", "sf_second", "sf_chance")
OF_THE_WRITER = ("sf_backend", "sf_number", "sf_cached", "sf_built", "sf_drawn")


@pytest.fixture(scope="module", autouse=True)
def functions(pair: Pair) -> None:
    pair.blue.sql(SCHEMA.format(bonus="") + "INSERT INTO sf_orders SELECT n, n * 7, 1 FROM generate_series(1, 50) n; INSERT INTO sf_cache VALUES (1)")
    pair.green.sql("CREATE TABLE sf_before (id int);" + SCHEMA.format(bonus="+ 1"))
    pair.blue.sql("ALTER PUBLICATION turnout_fwd ADD TABLE sf_orders")
    pair.green.sql("ALTER SUBSCRIPTION turnout_fwd REFRESH PUBLICATION", user="turnout")
    pair.green.wait_for("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel", timeout_s=60)


def test_a_changed_stable_function_is_named_and_no_clock_is(turnout: Turnout) -> None:
    on(turnout)
    with turnout.connect() as connection:
        def read() -> None:
            for name in CHANGED:
                connection.execute(f"SELECT {name}(9) AS of_{name}")
            connection.execute("SELECT * FROM sf_equal(9)")
            for name in (*OF_THE_CLOCK, *OF_THE_WRITER):
                connection.execute(f"SELECT {name}({'' if name != 'sf_built' else chr(39) + 'sf_orders' + chr(39)}) AS of_{name}")

        found = wait_for(turnout, lambda r: all(shape_of(r, f"{name}(").get("different", 0) > 0 for name in CHANGED)
                         and shape_of(r, "sf_equal(").get("same", 0) >= 20
                         and all(shape_of(r, f"{name}(").get("unsettled", 0) >= 2 for name in ("sf_moment", "sf_chance"))
                         and shape_of(r, "sf_second(").get("same", 0) >= 20, read, timeout_s=100)
    assert {shape["difference"].split(", in ")[1] for shape in differing(found)} == {f"of_{name}" for name in CHANGED}, differing(found)
    assert not [name for name in OF_THE_WRITER if shape_of(found, f"{name}(")], found
