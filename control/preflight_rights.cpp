// Which fence will be used on each side, may the admin do what it and the rest of a move take, and does nobody outrank
// it or take it down?

#include <algorithm>
#include <set>

#include "control/fence.h"
#include "control/managed_fence.h"
#include "control/preflight_look.h"

namespace turnout::control {

namespace {

constexpr int subscriptions_granted_since = 160000;  // pg_create_subscription; apply acts as the tables' owners
constexpr int parameters_granted_since = 150000;

struct Rights {
  router::Side side = router::Side::blue;
  int version = 0;
  bool superuser = false, whole_server = true;
};

std::optional<Rights> rights_of(Look& look, const char* name, router::Side side) {
  const auto rows =
      look.ask(name, side, "SELECT current_setting('server_version_num'), current_setting('is_superuser') = 'on'");
  if (!rows) return std::nullopt;
  const auto whole_server = fences_server(look, name, side);
  if (!whole_server) return std::nullopt;
  return Rights{side, static_cast<int>(rows->integer(0, 0)), rows->boolean(0, 1), *whole_server};
}

// ---- privileges ----------------------------------------------------------------------------------------------------

// What is missing, and the statements that mend it.
struct Missing {
  std::vector<std::string> what, todo;

  void add(const std::string& is_missing, const std::string& statement) {
    what.push_back(is_missing);
    if (std::find(todo.begin(), todo.end(), statement) == todo.end()) todo.push_back(statement);
  }
};

// Providers that keep REPLICATION to themselves have a role for it.
constexpr const char* server_rights_sql = R"(
SELECT quote_ident(current_user),
       r.rolreplication OR EXISTS (SELECT 1 FROM pg_roles p WHERE p.rolname = 'rds_replication' AND pg_has_role(p.oid, 'USAGE')),
       pg_has_role('pg_read_all_stats', 'USAGE') AND pg_has_role('pg_read_all_settings', 'USAGE'),
       pg_has_role('pg_signal_backend', 'USAGE'),
       EXISTS (SELECT 1 FROM pg_roles p WHERE p.rolname = 'pg_create_subscription' AND pg_has_role(p.oid, 'USAGE'))
  FROM pg_roles r WHERE r.rolname = current_user)";

// Owners whose rights are needed: of the database, of what is in it, of the streams' own objects.
constexpr const char* owners_sql = R"(
SELECT DISTINCT o.why, quote_ident(pg_get_userbyid(o.owner)) FROM (
    SELECT 'database ' || datname AS why, datdba AS owner FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT 'tables and sequences in ' || current_database(), c.relowner
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname NOT IN ('information_schema') AND n.nspname !~ '^pg_'
       AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL SELECT 'publication ' || pubname, pubowner FROM pg_publication
    UNION ALL SELECT 'subscription ' || subname, subowner FROM pg_subscription
     WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())) AS o
 WHERE NOT pg_has_role(o.owner, 'USAGE') ORDER BY 1)";

// "GRANT app_owner TO turnout" for each role that we would have to act as; also what the whole server's fence needs.
bool find_missing(Look& look, const char* name, const Rights& rights, Missing& missing) {
  const std::string where = std::string(" on ") + router::name(rights.side);
  const auto rows = look.ask(name, rights.side, server_rights_sql);
  if (!rows) return false;
  const auto admin = rows->text(0, 0);
  const auto type = [&](const std::string& statement) {
    return std::string(router::name(rights.side)) + ": " + statement;
  };
  if (!rows->boolean(0, 1))
    missing.add("REPLICATION" + where,
                type("ALTER ROLE " + admin + " REPLICATION (on RDS: GRANT rds_replication TO " + admin + ')'));
  if (!rows->boolean(0, 2)) missing.add("pg_monitor" + where, type("GRANT pg_monitor TO " + admin));
  if (!rows->boolean(0, 3)) missing.add("pg_signal_backend" + where, type("GRANT pg_signal_backend TO " + admin));
  if (rights.version >= subscriptions_granted_since && !rows->boolean(0, 4))
    missing.add("pg_create_subscription" + where, type("GRANT pg_create_subscription TO " + admin));
  for (const auto& database : look.databases()) {
    const auto owners = look.ask(name, rights.side, database, owners_sql);
    if (!owners) return false;
    for (int row = 0; row < owners->size(); ++row) {
      missing.add(owners->text(row, 1) + "'s rights (" + owners->text(row, 0) + ')' + where,
                  type("GRANT " + owners->text(row, 1) + " TO " + admin));
    }
  }
  auto loan = look.context.shelf.take(rights.side, look.any_database(), quiet_ms_max);
  const auto may = loan ? may_fence_server(**loan) : PgOutcome<bool>(loan.error());
  if (rights.whole_server && may && !*may) {
    missing.add("ALTER SYSTEM" + where,
                type(rights.version < parameters_granted_since
                         ? "ALTER ROLE " + admin + " SUPERUSER"
                         : "GRANT ALTER SYSTEM ON PARAMETER default_transaction_read_only TO " + admin +
                               "; GRANT EXECUTE ON FUNCTION pg_reload_conf(), pg_show_all_file_settings() TO " + admin +
                               "; GRANT SELECT ON pg_file_settings TO " + admin) +
                    ", or cutover.fence: database");
  }
  return true;
}

void check_privileges(Look& look) {
  constexpr const char* name = "privileges";
  Missing missing;
  std::vector<std::string> fine;
  for (const auto side : {look.from, look.to}) {
    const auto rights = rights_of(look, name, side);
    if (!rights) return;
    fine.push_back(std::string(router::name(side)) +
                   (rights->superuser ? ": superuser" : ": no superuser, all that is needed"));
    if (!rights->superuser && !find_missing(look, name, *rights, missing)) return;
  }
  look.verdict(name, Verdict::fail, missing.what, some_of(fine),
               "the fence, every session's state, ending sessions, slots, publications, subscriptions",
               some_of(missing.todo, missing.todo.size()));
}

// ---- fence.effective -----------------------------------------------------------------------------------------------

struct Findings {
  std::vector<std::string> bad, owners, fence;
  bool sleeping = false;  // owners of subscriptions that nobody logs in with
};

// On the follower a database's `off` outranks the server's default.
bool find_outranking(Look& look, const char* name, const Rights& rights, Findings& found) {
  const auto rows = look.ask(
      name, rights.side,
      "SELECT coalesce(r.rolname, ''), coalesce(d.datname, ''), coalesce(r.rolcanlogin, true) FROM "
      "pg_db_role_setting s LEFT JOIN "
      "pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) line "
      "WHERE line IN ('default_transaction_read_only=off', 'default_transaction_read_only=false', "
      "'default_transaction_read_only=no', 'default_transaction_read_only=0')");
  if (!rows) return false;
  for (int row = 0; row < rows->size(); ++row) {
    const auto role = rows->text(row, 0), database = rows->text(row, 1);
    // The fence sets the writer's databases itself, and where it goes by database also the roles' own settings in them.
    if (role.empty() && (rights.side == look.from || !rights.whole_server)) continue;
    if (!role.empty() && !rows->boolean(row, 2)) {
      found.sleeping = true;
      continue;
    }
    if (!rights.whole_server) continue;
    found.bad.push_back(
        (role.empty() ? "database " + database : "role " + role + (database.empty() ? "" : " in " + database)) +
        " on " + router::name(rights.side));
  }
  return true;
}

// Roles whose own setting must be outranked in the database, but may not be altered by us.
constexpr const char* untouchable_sql = R"(
SELECT r.rolname FROM pg_roles r
 WHERE r.rolname = ANY (SELECT json_array_elements_text($1::json)) AND r.rolname <> current_user
   AND current_setting('is_superuser') = 'off'
   AND NOT ((SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user)
            AND (current_setting('server_version_num')::int < 160000 OR pg_has_role(r.oid, 'USAGE WITH ADMIN OPTION'))))";

// Who may undo it: members of a database's owner. Those who keep CONNECT are ours.
constexpr const char* owners_members_sql = R"(
SELECT r.rolname, pg_get_userbyid(d.datdba), d.datname FROM pg_database d, pg_roles r
 WHERE d.datname = ANY (SELECT json_array_elements_text($1::json)) AND r.rolcanlogin AND NOT r.rolsuper
   AND NOT r.rolname = ANY (SELECT json_array_elements_text($2::json)) AND pg_has_role(r.oid, d.datdba, 'MEMBER')
 ORDER BY 3, 1)";

bool find_by_database(Look& look, const char* name, const Rights& rights, Findings& found) {
  const std::string where = std::string(" on ") + router::name(rights.side);
  const auto keep = kept_roles(look.config);
  auto loan = look.context.shelf.take(rights.side, look.any_database(), quiet_ms_max);
  const auto now =
      loan ? read_settings(**loan, look.databases(), keep, false) : PgOutcome<ServerSettings>(loan.error());
  if (!now) {
    look.fail(name, "could not look: " + now.error().message(), "", "see that this server answers");
    return false;
  }
  std::vector<std::string> outranking;
  for (const auto& one : now->databases) {
    for (const auto& role : one.roles) outranking.push_back(role.role);
    const auto owner =
        look.ask(name, rights.side,
                 "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = " + quote_literal(one.database));
    if (!owner) return false;
    for (const auto& grant : one.grants) {
      if (grant.by == owner->text(0, 0)) continue;
      found.bad.push_back("CONNECT of " + (grant.to.empty() ? "PUBLIC" : grant.to) + " to " + one.database + where +
                          " was granted by " + grant.by + " and cannot be given back: let the owner grant it");
    }
  }
  const auto untouchable = look.ask(name, rights.side, look.any_database(), untouchable_sql, {json_list(outranking)});
  if (!untouchable) return false;
  for (int row = 0; row < untouchable->size(); ++row)
    found.bad.push_back("role " + untouchable->text(row, 0) + where + " (its own setting, and we may not alter it)");
  return true;
}

bool find_owners(Look& look, const char* name, const Rights& rights, Findings& found) {
  const auto rows = look.ask(name, rights.side, look.any_database(), owners_members_sql,
                             {json_list(look.databases()), json_list(kept_roles(look.config))});
  if (!rows) return false;
  for (int row = 0; row < rows->size(); ++row) {
    found.owners.push_back(rows->text(row, 0) + " may act as " + rows->text(row, 1) + ", the owner of " +
                           rows->text(row, 2) + " on " + router::name(rights.side));
  }
  return true;
}

void check_fence(Look& look) {
  constexpr const char* name = "fence.effective";
  Findings found;
  for (const auto side : {look.from, look.to}) {
    const auto rights = rights_of(look, name, side);
    if (!rights) return;
    found.fence.push_back(std::string(router::name(side)) +
                          (rights->whole_server ? " by ALTER SYSTEM" : " by ALTER DATABASE and REVOKE CONNECT"));
    if (!find_outranking(look, name, *rights, found)) return;
    if (!rights->whole_server &&
        (!find_by_database(look, name, *rights, found) || !find_owners(look, name, *rights, found)))
      return;
  }
  const auto fine =
      some_of(found.fence) + (found.sleeping ? "; only roles that cannot log in outrank it" : "; nothing outranks it");
  const std::string bound = "no role or database says default_transaction_read_only = off, nobody can take it down";
  if (!found.bad.empty() || found.owners.empty()) {
    return look.verdict(name, Verdict::fail, found.bad, fine, bound,
                        "ALTER ROLE … RESET default_transaction_read_only (or ALTER DATABASE …): such a setting is "
                        "stronger than the fence");
  }
  look.warn(
      name, some_of(found.fence) + "; " + some_of(found.owners), bound,
      "an owner can undo this fence (ALTER DATABASE … RESET, GRANT CONNECT): give the database to a role that nobody "
      "logs in with, or know that this one does not");
}

}  // namespace

// What stands says how it will be taken away; else what would be done now.
std::optional<bool> fences_server(Look& look, const char* name, router::Side side) {
  if (const auto former = unrestored(look.context.store.records(look.context.deployment), side))
    return former->whole_server;
  auto loan = look.context.shelf.take(side, look.any_database(), quiet_ms_max);
  const auto chosen = loan ? fences_server(**loan, look.config.cutover.fence) : PgOutcome<bool>(loan.error());
  if (chosen) return *chosen;
  look.fail(name, "could not look: " + chosen.error().message(), "", "see that this server answers");
  return std::nullopt;
}

void check_rights(Look& look) {
  check_privileges(look);
  check_fence(look);
}

}  // namespace turnout::control
