#include "control/mysql_start.h"

#include "control/blockers.h"
#include "control/mysql_settle.h"
#include "control/mysql_topology.h"
#include "router/query_shape.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t start_ms_max = 2'000;
constexpr std::uint32_t settle_ms_max = 30'000;
constexpr std::size_t shape_bytes_max = 200;

constexpr const char* transactions_sql =
    "SELECT t.trx_mysql_thread_id, COALESCE(p.USER, ''), COALESCE(p.HOST, ''), COALESCE(p.COMMAND, ''), "
    "TIMESTAMPDIFF(SECOND, t.trx_started, NOW()), COALESCE(LEFT(p.INFO, 2000), ''), t.trx_rows_modified > 0 FROM "
    "information_schema.INNODB_TRX t LEFT JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id WHERE "
    "t.trx_mysql_thread_id <> 0 ORDER BY t.trx_started LIMIT 100";

// Nothing: it cannot be asked.
std::optional<bool> is_read_only(MysqlShelf& shelf, router::Side side) {
  auto client = shelf.fresh(side, start_ms_max);
  if (!client) return std::nullopt;
  const auto rows = client->query("SELECT @@global.read_only");
  if (!rows) return std::nullopt;
  return says_read_only(rows->text(0));
}

}  // namespace

std::string mysql_doubt(MysqlShelf& shelf, const conf::Deployment& deployment, const drain::Recovered& log) {
  const bool is_open = log.begun && !log.ended;
  if (is_open || !deployment.green) return "";
  const bool has_moved = log.ended && log.decision == drain::Decision::commit;
  const auto writer = has_moved ? router::other(log.writer) : log.writer;
  const auto follower = router::other(writer);
  const auto writer_refuses = is_read_only(shelf, writer), follower_refuses = is_read_only(shelf, follower);
  if (!writer_refuses || !follower_refuses || !*writer_refuses || *follower_refuses) return "";
  return std::string("the decision store says that ") + router::name(writer) + " is the writer, but " +
         router::name(writer) + " is read-only and " + router::name(follower) +
         " is not: see that control.state_dir is the right one, or set read_only on the servers as it should be, and "
         "restart";
}

boost::json::array list_blockers(MysqlContext& context, router::Side writer) {
  auto out = list_blocking_clients(context.step);
  auto loan = context.shelf.take(writer);
  if (!loan) return out;
  const auto rows = (*loan)->query(transactions_sql);
  if (!rows) return out;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    out.push_back(boost::json::object{{"kind", "server_transaction"},
                                      {"pid", rows->integer(row, 0)},
                                      {"user", rows->text(row, 1)},
                                      {"address", rows->text(row, 2)},
                                      {"application", ""},
                                      {"state", rows->text(row, 3)},
                                      {"age_s", static_cast<double>(rows->integer(row, 4))},
                                      {"query", router::query_shape(rows->text(row, 5), shape_bytes_max)},
                                      {"blocked_by", ""},
                                      {"wrote", rows->integer(row, 6) != 0}});
  }
  return out;
}

std::string finish_pair(MysqlContext& context, router::Side writer, boost::json::array& removed) {
  const auto former = router::other(writer);
  auto here = context.shelf.take(writer);
  if (!here) return here.error().message();
  const auto server = look_at(**here);
  if (!server) return server.error().message();
  auto client = context.shelf.fresh(former, settle_ms_max);
  if (!client) return "";  // it may be gone already
  const auto follower = look_at(*client);
  if (!follower) return follower.error().message();
  const auto chosen = choose_link(follower->links, server->id());
  if (!chosen.link) return "";
  if (const auto dropped = drop_link(*client, chosen.link->connection); !dropped) return dropped.error().message();
  removed.emplace_back(std::string("the replication connection of ") + router::name(former));
  return "";
}

}  // namespace turnout::control
