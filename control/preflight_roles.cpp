// Can everybody log in and do after the flip what they can now?

#include <algorithm>
#include <map>
#include <set>

#include "control/preflight_look.h"
#include "control/server_settings.h"

namespace turnout::control {

namespace {

// Roles, what they may, and whom they belong to; one line each, comparable by text.
constexpr const char* roles_sql =
    "SELECT rolname, 'login=' || rolcanlogin || ' super=' || rolsuper || ' replication=' || rolreplication || ' "
    "bypassrls=' || rolbypassrls || "
    "' limit=' || rolconnlimit FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> current_user ORDER BY 1";
// Without Turnout's own role: what that one needs differs from version to version, and `privileges` looks at it.
constexpr const char* memberships_sql =
    "SELECT DISTINCT m.member::regrole::text || ' in ' || m.roleid::regrole::text FROM pg_auth_members m WHERE "
    "m.member::regrole::text !~ '^pg_' AND m.member <> (SELECT oid FROM pg_roles WHERE rolname = current_user)";
constexpr const char* verifiers_sql =
    "SELECT rolname, coalesce(rolpassword, '') FROM pg_authid WHERE rolcanlogin AND rolname !~ '^pg_' ORDER BY 1";
// What others than the owner may do with tables, views and sequences. MAINTAIN is newer than 16.
constexpr const char* grants_sql = R"(
SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END || ': ' || a.privilege_type || ' on ' || format('%I.%I', n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND n.nspname NOT IN ('information_schema', 'turnout') AND n.nspname !~ '^pg_'
   AND a.privilege_type <> 'MAINTAIN' AND a.grantee <> c.relowner
UNION ALL
SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END || ': ' || a.privilege_type || ' on schema ' || n.nspname
  FROM pg_namespace n, aclexplode(n.nspacl) a
 WHERE n.nspname NOT IN ('information_schema', 'turnout') AND n.nspname !~ '^pg_' AND a.grantee <> n.nspowner)";

std::optional<std::set<std::string>> lines(Look& look, const char* name, router::Side side, const std::string& database,
                                           const char* sql) {
  const auto rows = look.ask(name, side, database, sql);
  if (!rows) return std::nullopt;
  std::set<std::string> out;
  for (int row = 0; row < rows->size(); ++row) out.insert(rows->text(row, 0));
  return out;
}

bool missing_in(Look& look, const char* name, const std::string& database, const char* sql,
                std::vector<std::string>& bad) {
  const auto here = lines(look, name, look.from, database, sql);
  const auto there = lines(look, name, look.to, database, sql);
  if (!here || !there) return false;
  for (const auto& line : *here) {
    if (!there->contains(line)) bad.push_back(line + " (missing on " + router::name(look.to) + ')');
  }
  return true;
}

void check_role_parity(Look& look) {
  constexpr const char* name = "roles.parity";
  std::vector<std::string> bad;
  const auto here = look.ask(name, look.from, roles_sql);
  const auto there = look.ask(name, look.to, roles_sql);
  if (!here || !there) return;
  std::map<std::string, std::string> known;
  for (int row = 0; row < there->size(); ++row) known.emplace(there->text(row, 0), there->text(row, 1));
  for (int row = 0; row < here->size(); ++row) {
    const auto role = here->text(row, 0);
    const auto found = known.find(role);
    if (found == known.end()) {
      bad.push_back(role + " does not exist on " + router::name(look.to));
    } else if (found->second != here->text(row, 1)) {
      bad.push_back(role + " has " + here->text(row, 1) + " here and " + found->second + " there");
    }
  }
  if (!missing_in(look, name, look.any_database(), memberships_sql, bad)) return;
  for (const auto& database : look.topology.databases()) {
    if (!missing_in(look, name, database, grants_sql, bad)) return;
  }
  look.verdict(name, Verdict::fail, bad, std::to_string(here->size()) + " roles, their memberships and grants",
               "every role, membership and grant of the writer",
               "create and grant the same on the other side (pg_dumpall --roles-only helps)");
}

// A different verifier for the same password breaks clients whose SCRAM keys are passed through.
void check_verifiers(Look& look) {
  constexpr const char* name = "roles.passwords";
  for (const auto side : {look.from, look.to}) {
    const auto may = look.ask(name, side, "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')");
    if (!may) return;
    if (may->boolean(0, 0)) continue;
    return look.warn(name, std::string("not readable on ") + router::name(side),
                     "equal password verifiers on both sides",
                     "only a superuser may compare them: see that they are the same, and that auth.every_user passes");
  }
  const auto here = look.ask(name, look.from, verifiers_sql);
  const auto there = look.ask(name, look.to, verifiers_sql);
  if (!here || !there) return;
  std::map<std::string, std::string> known;
  for (int row = 0; row < there->size(); ++row) known.emplace(there->text(row, 0), there->text(row, 1));
  std::vector<std::string> bad;
  for (int row = 0; row < here->size(); ++row) {
    const auto found = known.find(here->text(row, 0));
    if (found != known.end() && found->second != here->text(row, 1)) bad.push_back(here->text(row, 0));
  }
  look.verdict(
      name, Verdict::warn, bad, "the same verifiers", "equal password verifiers on both sides",
      "copy them with pg_dumpall --roles-only; needed where turnout passes a client's own SCRAM login through");
}

void check_logins(Look& look) {
  constexpr const char* name = "auth.every_user";
  // A former fence still keeps ordinary roles out of the side that is to become the writer; prepare lets them in again.
  const auto former = unrestored(look.context.store.records(look.context.deployment), look.to);
  const bool kept_out = former && std::any_of(former->databases.begin(), former->databases.end(),
                                              [](const auto& one) { return !one.connect.empty(); });
  std::vector<std::string> bad;
  std::size_t tried = 0, fenced = 0;
  const auto databases = look.databases();
  for (const auto& account : look.context.proxy.accounts(look.context.index)) {
    if (!databases.empty() && std::find(databases.begin(), databases.end(), account.database) == databases.end())
      continue;
    ++tried;
    const auto error = look.context.proxy.try_login(look.context.index, look.to, account);
    if (error.empty()) continue;
    if (kept_out && (error.find("42501") != std::string::npos ||
                     error.find("permission denied for database") != std::string::npos)) {
      ++fenced;
      continue;
    }
    bad.push_back(account.user + " in " + account.database + ": " + error);
  }
  std::string fine = std::to_string(tried) + " accounts";
  if (fenced != 0) fine += ", " + std::to_string(fenced) + " of them kept out by the former fence until prepare";
  look.verdict(name, Verdict::fail, bad, fine, "every account that has logged in here can log in there",
               "give the role its password and its line in pg_hba.conf on " + std::string(router::name(look.to)));
}

}  // namespace

void check_roles(Look& look, bool quick) {
  check_role_parity(look);
  check_verifiers(look);
  if (!quick) check_logins(look);
}

}  // namespace turnout::control
