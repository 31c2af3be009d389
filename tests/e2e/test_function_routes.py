"""What a function of the user reaches without its name in the text, on a real server: none of these may be a read."""
from __future__ import annotations

import time
from typing import Any

import pytest

from harness.pair import Pair
from harness.turnout import Turnout
from harness.waiting import eventually

CHANGES: dict[str, Any] = {}

LONG = "fr_" + "x" * 60  # as long as a name may be

SCHEMA = f"""
CREATE SEQUENCE fr_numbers;
CREATE TABLE fr_log (id int);
CREATE UNLOGGED TABLE {LONG} (id int);
CREATE FUNCTION fr_plain(n int DEFAULT 1) RETURNS int STABLE LANGUAGE sql SET search_path = public AS 'SELECT n + 1';
CREATE FUNCTION fr_fixed(n int DEFAULT 1) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n + 1';
CREATE FUNCTION fr_default(n bigint DEFAULT nextval('fr_numbers')) RETURNS bigint IMMUTABLE LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION fr_table(t regclass) RETURNS oid STABLE LANGUAGE sql AS 'SELECT t::oid';
CREATE FUNCTION fr_fixed_table(t regclass) RETURNS oid IMMUTABLE LANGUAGE sql AS 'SELECT t::oid';
CREATE FUNCTION fr_long() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM {LONG}yz';
CREATE FUNCTION fr_dotted(n text) RETURNS text STABLE LANGUAGE sql AS 'SELECT n.current_setting';
CREATE FUNCTION fr_tables() RETURNS bigint STABLE LANGUAGE sql SET search_path = information_schema AS 'SELECT count(*) FROM tables';
CREATE FUNCTION fr_quoted() RETURNS text STABLE LANGUAGE plpgsql SET standard_conforming_strings = off AS
  $$BEGIN RETURN '\\'' || version() || '\\''; END$$;
CREATE FUNCTION fr_add(a int, b int) RETURNS int LANGUAGE plpgsql AS $$BEGIN INSERT INTO fr_log VALUES (b); RETURN b; END$$;
CREATE AGGREGATE fr_sum (int) (SFUNC = fr_add, STYPE = int, INITCOND = '0');
CREATE AGGREGATE fr_real_sum (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE DOMAIN fr_number AS int CHECK (nextval('fr_numbers') > 0);
CREATE DOMAIN fr_even AS int CHECK (VALUE % 2 = 0);
CREATE FUNCTION fr_checked(n int) RETURNS fr_number STABLE LANGUAGE sql AS 'SELECT n';
CREATE FUNCTION fr_fixed_checked(n fr_number) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION fr_fixed_even(n fr_even) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 1';
CREATE TYPE fr_audited AS (n int);
CREATE FUNCTION fr_audit(n int) RETURNS fr_audited LANGUAGE plpgsql AS $$BEGIN INSERT INTO fr_log VALUES (n); RETURN ROW(n)::fr_audited; END$$;
CREATE CAST (int AS fr_audited) WITH FUNCTION fr_audit (int) AS IMPLICIT;
CREATE FUNCTION fr_cast(a fr_audited) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT a.n';
CREATE DOMAIN fr_number_too AS fr_number;
CREATE TYPE fr_holder AS (n fr_number, t regclass);
CREATE FUNCTION fr_gives() RETURNS fr_number_too IMMUTABLE LANGUAGE plpgsql AS $$BEGIN RETURN 1; END$$;
CREATE TABLE fr_readings (n fr_number);
CREATE DOMAIN fr_place AS regclass;
CREATE DOMAIN fr_place_too AS fr_place;
CREATE FUNCTION fr_server(b pgbench_branches) RETURNS int STABLE LANGUAGE sql AS 'SELECT pg_backend_pid()';
CREATE TYPE fr_weight AS (n int);
CREATE FUNCTION fr_weigh(a fr_weight, b fr_weight) RETURNS int LANGUAGE plpgsql AS $$BEGIN INSERT INTO fr_log VALUES (1); RETURN a.n - b.n; END$$;
CREATE FUNCTION fr_less(a fr_weight, b fr_weight) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT a.n < b.n';
CREATE OPERATOR <~ (LEFTARG = fr_weight, RIGHTARG = fr_weight, FUNCTION = fr_less);
CREATE OPERATOR =~ (LEFTARG = fr_weight, RIGHTARG = fr_weight, FUNCTION = fr_less);
CREATE OPERATOR >~ (LEFTARG = fr_weight, RIGHTARG = fr_weight, FUNCTION = fr_less);
CREATE OPERATOR CLASS fr_weights DEFAULT FOR TYPE fr_weight USING btree AS OPERATOR 1 <~, OPERATOR 3 =~, OPERATOR 5 >~, FUNCTION 1 fr_weigh (fr_weight, fr_weight);
CREATE TABLE fr_goods (w fr_weight);
CREATE TYPE fr_label AS (n int);
CREATE FUNCTION fr_written(l fr_label) RETURNS text LANGUAGE plpgsql AS $$BEGIN INSERT INTO fr_log VALUES (2); RETURN 'x'; END$$;
CREATE CAST (fr_label AS text) WITH FUNCTION fr_written (fr_label) AS IMPLICIT;
CREATE TABLE fr_labels (l fr_label);
CREATE FUNCTION fr_later() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1';
CREATE DOMAIN fr_later_number AS int;
CREATE TYPE fr_later_type AS (n int);
CREATE FUNCTION fr_later_cast(n int) RETURNS fr_later_type LANGUAGE plpgsql AS $$BEGIN INSERT INTO fr_log VALUES (n); RETURN ROW(n); END$$;
"""


@pytest.fixture(scope="module", autouse=True)
def functions(pair: Pair) -> None:
    for side in pair.sides.values():
        side.sql(SCHEMA)


def verdict(turnout: Turnout, text: str) -> str:
    return str(turnout.ask("explain-route", "app", text)["verdict"])


@pytest.mark.parametrize(("text", "expected"), [
    ("SELECT fr_plain(), fr_plain(4), fr_fixed()", "read"),
    ("SELECT fr_real_sum(n), 4::fr_even FROM generate_series(1, 3) n", "read"),
    ("SELECT fr_later()", "read"),
    ("SELECT fr_default()", "write"),
    ("SELECT fr_table('fr_log')", "read_writer"),
    ("SELECT fr_fixed_table('fr_log')", "read_writer"),
    ("SELECT fr_long()", "read_writer"),
    ("SELECT fr_dotted('server_version')", "read_writer"),
    ("SELECT fr_tables()", "read_writer"),
    ("SELECT fr_quoted()", "read_writer"),
    ("SELECT fr_checked(1)", "write"),
    ("SELECT fr_gives()", "write"),
    ("SELECT 5::fr_number_too", "write"),
    ("SELECT (5).fr_number_too", "write"),
    ("SELECT (ROW(5, NULL)::fr_holder).n", "write"),
    ("SELECT jsonb_populate_record(r, '{}') FROM fr_readings r", "write"),
    ("SELECT 'fr_log'::fr_place_too::bigint", "read_writer"),
    ("SELECT regconfigsend('english')", "read_writer"),
    ("SELECT hashenum('ok'::mood)", "read_writer"),
    ("SELECT b.fr_server FROM pgbench_branches b", "read_writer"),
    ("SELECT w FROM fr_goods ORDER BY w", "write"),
    ("SELECT DISTINCT w FROM fr_goods", "write"),
    ("SELECT greatest(ROW(1)::fr_weight, ROW(2)::fr_weight)", "write"),
    ("SELECT upper(l) FROM fr_labels", "write"),
    ("SELECT row_to_json(ROW(1)), 5::text, 'x' || 5, to_tsvector('english', 'x'), ts_lexize('simple', 'x')", "write"),  # fr_label → text
    ("SELECT row_to_json(ROW(1)), 5::int8, 'x' || 5, to_tsvector('english', 'x'), ts_lexize('simple', 'x')", "read"),
    ("SELECT jsonb_build_array(5) || '[6]' FROM pgbench_branches ORDER BY bid", "read"),
    ("SELECT fr_fixed_even(2)", "read"),
    ("SELECT fr_fixed_checked(1)", "write"),
    ("SELECT fr_cast(5)", "write"),
    ("SELECT 5::fr_number", "write"),
    ("SELECT fr_sum(n) FROM generate_series(1, 3) n", "write"),
    ("SELECT n.pg_advisory_lock FROM generate_series(1, 1) n", "write"),
    ("SELECT (12345).lo_unlink", "write"),
])
def test_what_it_reaches(turnout: Turnout, text: str, expected: str) -> None:
    assert verdict(turnout, text) == expected


@pytest.mark.parametrize(("text", "change"), [
    ("SELECT fr_later()", "CREATE OR REPLACE FUNCTION fr_later() RETURNS int STABLE LANGUAGE sql AS 'SELECT pg_backend_pid()'"),
    ("SELECT 5::fr_later_number", "ALTER DOMAIN fr_later_number ADD CHECK (nextval('fr_numbers') > 0)"),
    ("SELECT 5::fr_later_type", "CREATE CAST (int AS fr_later_type) WITH FUNCTION fr_later_cast (int)"),
    ("SELECT count(*) FROM notes", "ALTER PUBLICATION turnout_fwd DROP TABLE notes"),
    ("SELECT count(*) FROM ledger", "ALTER PUBLICATION turnout_fwd DROP TABLE ledger; ALTER TABLE ledger SET UNLOGGED"),
], ids=["body", "domain", "cast", "publication", "unlogged"])
def test_what_changes_is_noticed(turnout: Turnout, pair: Pair, text: str, change: str) -> None:
    turnout.ask("shift", "app", "100")  # without a ramp or a shadow nobody needs to know
    assert verdict(turnout, text) == "read"
    time.sleep(2)  # a whole look of before it
    pair.blue.sql(change)
    took = eventually(lambda: verdict(turnout, text) != "read", "the change is noticed", timeout_s=20)
    print(f"noticed in {took:.1f} s")
