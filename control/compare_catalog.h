// What `compare` reads in the catalogs of the two servers: which tables a stream carries, how a table looks on a side,
// and which hash both sides agree on. Blocking questions, each with a deadline.
#pragma once

#include <string>
#include <vector>

#include "control/compare_sql.h"
#include "control/pg_client.h"

namespace turnout::control {

// A table by the writer's book, and how far the follower is with it.
struct PublishedTable {
  TableName table;
  std::vector<std::string> columns;  // published ones; empty = all
  std::string filter;                // rows that are published; "" = all
  bool is_carried = false;           // the subscription knows it
  bool is_ready = false;             // and its first copy is done
  std::string subscription;          // that carries it
};

[[nodiscard]] PgOutcome<std::vector<PublishedTable>> published_tables(PgClient& writer, PgClient& follower,
                                                                      const Stream& stream);
// Tables of the writer that no stream carries: "database.schema.name". `whole` is a database's of Topology::merged().
[[nodiscard]] PgOutcome<std::vector<std::string>> unpublished_tables(PgClient& writer, const Stream& whole);
[[nodiscard]] PgOutcome<bool> marker_travels(PgClient& follower, const Stream& stream);
[[nodiscard]] PgOutcome<TableFacts> read_table_facts(PgClient& client, const TableName& table);
[[nodiscard]] PgOutcome<HashMethod> common_hash(PgClient& writer, PgClient& follower);

}  // namespace turnout::control
