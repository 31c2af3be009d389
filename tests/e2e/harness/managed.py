"""A pair as a provider gives it: Turnout's role is a superuser on neither side.

What it is granted here is the list of conf/README.md ("An admin who is no superuser"), and nothing else. Providers let
their own admin role create subscriptions on 15, which PostgreSQL itself gives to superusers alone: an event trigger
lends the attribute for that one statement, and nobody ever sees it committed.
"""
from __future__ import annotations

from typing import Any

from .pair import DATABASE, Pair
from .postgres import Postgres
from .workspace import Workspace

PASSWORD = "no-superuser"
FIRST_WITH_GRANTED_SUBSCRIPTIONS = 16

RIGHTS = """
ALTER ROLE turnout NOSUPERUSER REPLICATION;
GRANT pg_monitor, pg_signal_backend, app_owner TO turnout;
"""

# Of the provider, for its own admin role; where nothing has to be lent it is there too, for the preflight compares triggers.
LENDING = """
CREATE SCHEMA provider;
CREATE FUNCTION provider.lend() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF session_user <> 'turnout' OR current_setting('server_version_num')::int >= 160000 THEN RETURN; END IF;
  IF tg_event = 'ddl_command_start' THEN ALTER ROLE turnout SUPERUSER; ELSE ALTER ROLE turnout NOSUPERUSER; END IF;
END $$;
CREATE EVENT TRIGGER lend ON ddl_command_start WHEN tag IN ('CREATE SUBSCRIPTION') EXECUTE FUNCTION provider.lend();
CREATE EVENT TRIGGER take_back ON ddl_command_end WHEN tag IN ('CREATE SUBSCRIPTION') EXECUTE FUNCTION provider.lend();
"""

# Grants whose order and options a fence must give back.
GRANTS = f"""
GRANT CONNECT ON DATABASE {DATABASE} TO reader WITH GRANT OPTION;
GRANT CONNECT, TEMPORARY ON DATABASE {DATABASE} TO app;
REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC;
GRANT TEMPORARY ON DATABASE {DATABASE} TO PUBLIC;
GRANT CONNECT ON DATABASE {DATABASE} TO hammer;
"""

HBA = """
local all all trust
host all turnout 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""


def log_in_by_password(server: Postgres) -> None:
    (server.data / "pg_hba.conf").write_text(HBA)
    server.sql("SELECT pg_reload_conf()", database="postgres")


def make_managed(pair: Pair, grants: bool = True) -> None:
    """`grants`: databases with grants of their own; without, they have the built-in ones (NULL)."""
    for server in pair.sides.values():
        server.sql(f"ALTER ROLE turnout PASSWORD '{PASSWORD}'")
    source = f"host=127.0.0.1 port={pair.blue.port} user=turnout dbname={DATABASE} password={PASSWORD}"
    pair.green.sql(f"ALTER SUBSCRIPTION turnout_fwd CONNECTION '{source}'")
    pair.green.sql("ALTER SUBSCRIPTION turnout_fwd DISABLE")  # a worker that loses its superuser begins anew, some time
    pair.blue.wait_for("SELECT bool_and(NOT active) FROM pg_replication_slots")
    for server in pair.sides.values():
        log_in_by_password(server)
        server.sql(LENDING)
        if server.major >= FIRST_WITH_GRANTED_SUBSCRIPTIONS:
            server.sql("GRANT pg_create_subscription TO turnout")
        if grants:
            server.sql(GRANTS)
        server.sql(RIGHTS)
    pair.green.sql("ALTER SUBSCRIPTION turnout_fwd ENABLE")
    pair.blue.wait_for("SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'")


def admin_by_password(workspace: Workspace, pair: Pair) -> dict[str, Any]:
    """What Turnout's configuration says of its role on such a pair."""
    file = workspace.directory(f"{pair.name}/secrets") / "admin.pass"
    file.write_text(PASSWORD)
    return {"admin": {"user": "turnout", "password_file": str(file)}}
