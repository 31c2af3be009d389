#include "control/blockers.h"

#include <map>
#include <string>

#include "control/fence.h"
#include "router/query_shape.h"

namespace turnout::control {

namespace {

constexpr const char* transactions_sql = R"(
SELECT a.pid, a.usename, coalesce(host(a.client_addr), 'local'), a.application_name, a.state,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8, left(a.query, 2000),
       pg_blocking_pids(a.pid)::text, a.backend_xid IS NOT NULL
  FROM pg_stat_activity a
 WHERE a.backend_type = 'client backend' AND a.xact_start IS NOT NULL AND a.state IS DISTINCT FROM 'idle'
   AND a.pid <> pg_backend_pid()
   AND a.datname IN (SELECT datname FROM pg_database WHERE NOT datistemplate)
 ORDER BY a.xact_start LIMIT 100)";

constexpr std::size_t shape_bytes_max = 200;

// What each of our clients ran last on its server connection.
void add_queries(PgClient& server, boost::json::array& clients) {
  const auto rows = server.query(
      "SELECT pid, left(query, 2000) FROM pg_stat_activity WHERE backend_type = 'client backend'", window_ms_max);
  if (!rows) return;
  std::map<std::int64_t, std::string> queries;
  for (int row = 0; row < rows->size(); ++row)
    queries[rows->integer(row, 0)] = router::query_shape(rows->text(row, 1), shape_bytes_max);
  for (auto& client : clients) {
    const auto found = queries.find(client.at("pid").to_number<std::int64_t>());
    if (found != queries.end()) client.as_object()["query"] = found->second;
  }
}

}  // namespace

boost::json::array list_blocking_clients(const StepContext& context) {
  boost::json::array out;
  for (const auto& client : context.proxy.clients(context.index)) {
    if (client.pinned_by.empty() && !client.in_transaction) continue;
    const auto why = client.stays_because.empty() ? "" : ": " + client.stays_because;
    out.push_back(
        boost::json::object{{"kind", client.pinned_by.empty() ? "open_transaction" : "unmovable_session"},
                            {"client", client.id},
                            {"address", client.address},
                            {"user", client.user},
                            {"database", client.database},
                            {"application", client.application},
                            {"reason", client.pinned_by.empty() ? "in a transaction" : client.pinned_by + why},
                            {"age_s", client.state_s},
                            {"connected_s", client.connected_s},
                            {"query", ""},
                            {"pid", client.server_pid}});
  }
  return out;
}

boost::json::array list_blockers(StepContext& context, router::Side writer) {
  auto out = list_blocking_clients(context);
  Attempt scratch;
  auto loan = context.shelf.take(writer, databases_of(context, scratch).front(), window_ms_max);
  if (!loan) return out;
  add_queries(**loan, out);
  if (const auto rows = (*loan)->query(transactions_sql, window_ms_max)) {
    for (int row = 0; row < rows->size(); ++row) {
      out.push_back(boost::json::object{{"kind", "server_transaction"},
                                        {"pid", rows->integer(row, 0)},
                                        {"user", rows->text(row, 1)},
                                        {"address", rows->text(row, 2)},
                                        {"application", rows->text(row, 3)},
                                        {"state", rows->text(row, 4)},
                                        {"age_s", rows->number(row, 5)},
                                        {"query", router::query_shape(rows->text(row, 6), shape_bytes_max)},
                                        {"blocked_by", rows->text(row, 7)},
                                        {"wrote", rows->boolean(row, 8)}});
    }
  }
  if (const auto rows =
          (*loan)->query("SELECT gid, owner, database, extract(epoch FROM clock_timestamp() - prepared)::float8 FROM "
                         "pg_prepared_xacts ORDER BY prepared LIMIT 100",
                         window_ms_max)) {
    for (int row = 0; row < rows->size(); ++row) {
      out.push_back(boost::json::object{{"kind", "prepared_transaction"},
                                        {"gid", rows->text(row, 0)},
                                        {"user", rows->text(row, 1)},
                                        {"database", rows->text(row, 2)},
                                        {"age_s", rows->number(row, 3)}});
    }
  }
  return out;
}

}  // namespace turnout::control
