#include "control/mysql_compare.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "control/mysql_compare_sql.h"
#include "control/mysql_position.h"
#include "control/mysql_topology.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t answer_ms_more = 2'000;  // the server's own deadline comes first
constexpr const char* look_s = "0.05";           // of one look whether a marker has arrived
constexpr int marker_looks_max = 100;            // for what was created on the writer a moment ago
constexpr int table_looks_max = 4;
constexpr const char* default_carrier = "replication";  // the connection that has no name
constexpr unsigned too_slow_mariadb = 1969, too_slow_mysql = 3024;

constexpr const char* tables_sql =
    "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE IN ('BASE TABLE', 'SYSTEM "
    "VERSIONED') AND TABLE_SCHEMA NOT IN ";
constexpr const char* may_read_sql =
    "SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'SELECT' AND GRANTEE = ";

CompareError error_of(const MysqlError& error) {
  return {error.message(), error.lost, error.number == too_slow_mariadb || error.number == too_slow_mysql};
}

class Client final : public CompareClient {
 public:
  Client(MysqlShelf& shelf, MysqlClient client) : shelf_(shelf), client_(std::move(client)) {
    shelf_.keep(side(), client_.number(), 0);
  }
  ~Client() override { shelf_.keep(side(), 0, client_.number()); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  CompareOutcome<CompareRows> query(const std::string& sql) override {
    if (sql == client_.dialect().log_sql) return ask_log_end();
    if (sql == client_.dialect().seen_sql) return ask_seen();
    const auto answer = client_.query(sql);
    if (!answer) return error_of(answer.error());
    std::vector<CompareRows::Row> rows(answer->size());
    for (std::size_t row = 0; row < rows.size(); ++row) {
      for (std::size_t i = 0; i < answer->width(); ++i) {
        if (answer->is_null(row, i)) return CompareError{text() + ": a row is too large to be hashed"};
        rows[row].push_back(answer->text(row, i));
      }
    }
    return CompareRows(std::move(rows));
  }
  void roll_back() override { static_cast<void>(client_.query("ROLLBACK")); }
  router::Side side() const override { return client_.target().side; }
  std::string text() const override { return client_.target().text(); }
  MysqlClient& mysql() { return client_; }

 private:
  // Two columns, and one token.
  CompareOutcome<CompareRows> ask_log_end() {
    const auto end = log_end(client_, PositionKind::file);
    if (!end) return error_of(end.error());
    return CompareRows({{end->value_or("")}});
  }

  // What is being committed stands in a column of its own, in a notation of its own.
  CompareOutcome<CompareRows> ask_seen() {
    const auto answer = client_.query(client_.dialect().seen_sql);
    if (!answer) return error_of(answer.error());
    const auto seen = parse_position(client_.dialect(), answer->row(0));
    if (!seen) return CompareError{text() + ": where its log ends cannot be read"};
    return CompareRows({{position_text(*seen)}});
  }

  MysqlShelf& shelf_;
  MysqlClient client_;
};

template <MysqlProduct product>
std::string marker_sql(const std::string&) {
  return dialect_of(product).seen_sql;
}

template <MysqlProduct product>
std::string arrived_sql(const std::string&, const std::string& token) {
  return "SELECT 1 FROM DUAL WHERE (" + wait_sql(dialect_of(product), mysql_literal(token), look_s) + ") = 0";
}

std::string log_end_sql(const std::string&) {
  return dialect_of(MysqlProduct::mysql).log_sql;
}

std::string arrived_by_file_sql(const std::string& carrier, const std::string& token) {
  const auto position = parse_log_position(token).value_or(LogPosition{});
  const std::string connection = carrier == default_carrier ? "" : carrier;
  return "SELECT 1 FROM DUAL WHERE SOURCE_POS_WAIT(" + mysql_literal(position.file) + ", " +
         std::to_string(position.offset) + ", " + look_s + ", " + mysql_literal(connection) + ") >= 0";
}

template <MysqlProduct product, PositionKind kind = PositionKind::gtid>
constexpr CompareSql sql_of = {
    .bound = mysql::bound_sql,
    .sum = mysql::sum_sql,
    .rows = mysql::rows_sql,
    .page = mysql::page_sql,
    .lookup = mysql::lookup_sql,
    .columns = mysql::columns_sql,
    .blocks = mysql::blocks_sql,
    .null_keys = mysql::null_keys_sql,
    .snapshot = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    .marker = kind == PositionKind::gtid ? marker_sql<product> : log_end_sql,
    .arrived = kind == PositionKind::gtid ? arrived_sql<product> : arrived_by_file_sql,
    .confirmations = 3,
};

const CompareSql& sql_for(MysqlProduct product, PositionKind kind) {
  if (kind == PositionKind::file) return sql_of<MysqlProduct::mysql, PositionKind::file>;
  return product == MysqlProduct::mariadb ? sql_of<MysqlProduct::mariadb> : sql_of<MysqlProduct::mysql>;
}

std::string of_table(const char* catalog, const TableName& table, const char* order) {
  return std::string("SELECT * FROM information_schema.") + catalog +
         " WHERE TABLE_SCHEMA = " + mysql_literal(table.schema) + " AND TABLE_NAME = " + mysql_literal(table.name) +
         order;
}

MysqlOutcome<TableFacts> read_facts(MysqlClient& client, const TableName& table) {
  const auto columns = client.query(of_table("COLUMNS", table, " ORDER BY ORDINAL_POSITION"));
  if (!columns) return columns.error();
  const auto indexes =
      client.query(of_table("STATISTICS", table, " ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX"));
  if (!indexes) return indexes.error();
  auto facts = mysql_table_facts(table, *columns, *indexes);
  const auto size = client.query(of_table("TABLES", table, ""));
  if (!size) return size.error();
  if (!size->empty()) facts.rows_estimate = std::atoll(size->text(0, "TABLE_ROWS").c_str());
  return facts;
}

class Pair final : public ComparePair {
 public:
  explicit Pair(MysqlShelf& shelf) : shelf_(shelf) {}

  CompareOutcome<Tables> look_up(router::Side writer, bool with_left_out) override;
  CompareOutcome<CompareLink> open(const std::string& database, std::uint32_t statement_ms_max) override;
  CompareOutcome<TableLook> look(CompareLink& link, const TableState& table) override;

 private:
  [[nodiscard]] CompareOutcome<bool> add_tables(router::Side side, Tables& tables);
  [[nodiscard]] CompareOutcome<std::unique_ptr<Client>> connect(router::Side side, std::uint32_t statement_ms_max);
  [[nodiscard]] CompareOutcome<bool> let_catch_up(CompareLink& link) const;

  MysqlShelf& shelf_;
  router::Side writer_ = router::Side::blue;
  std::string carrier_;
  PositionKind kind_ = PositionKind::gtid;
};

// A table that is on the follower alone is compared too: it differs.
CompareOutcome<ComparePair::Tables> Pair::look_up(router::Side writer, bool) {
  writer_ = writer;
  const auto topology = discover(shelf_, writer);
  if (!topology) return error_of(topology.error());
  carrier_ = topology->connection.empty() ? default_carrier : topology->connection;
  kind_ = topology->kind;
  Tables tables;
  tables.unknown = "is there";
  for (const auto side : {writer, router::other(writer)}) {
    if (const auto added = add_tables(side, tables); !added) return added.error();
  }
  const auto place = [](const TableState& one) { return std::pair(one.table.schema, one.table.name); };
  const auto same = [&](const auto& a, const auto& b) { return place(a) == place(b); };
  std::sort(tables.all.begin(), tables.all.end(), [&](const auto& a, const auto& b) { return place(a) < place(b); });
  tables.all.erase(std::unique(tables.all.begin(), tables.all.end(), same), tables.all.end());
  for (const auto& one : tables.all) {
    if (tables.databases.empty() || tables.databases.back() != one.database) tables.databases.push_back(one.database);
  }
  return tables;
}

CompareOutcome<bool> Pair::add_tables(router::Side side, Tables& tables) {
  auto client = shelf_.take(side);
  if (!client) return error_of(client.error());
  const auto may_read = (*client)->query(std::string(may_read_sql) + mysql_me);
  if (!may_read) return error_of(may_read.error());
  if (may_read->integer(0) == 0) {
    return CompareError{
        std::string("a comparison reads every table: GRANT SELECT ON *.* TO the deployment's admin on ") +
        router::name(side)};
  }
  const auto rows = (*client)->query(std::string(tables_sql) + mysql_own_schemas + " ORDER BY 1, 2");
  if (!rows) return error_of(rows.error());
  for (std::size_t row = 0; row < rows->size(); ++row) {
    auto& table = tables.all.emplace_back();
    table.database = rows->text(row, 0);
    table.table = {rows->text(row, 0), rows->text(row, 1)};
  }
  return true;
}

CompareOutcome<std::unique_ptr<Client>> Pair::connect(router::Side side, std::uint32_t statement_ms_max) {
  auto opened = shelf_.fresh(side, statement_ms_max + answer_ms_more);
  if (!opened) return error_of(opened.error());
  auto client = std::make_unique<Client>(shelf_, std::move(*opened));
  const auto ready = client->query(mysql_compare_session(client->mysql().dialect().product, statement_ms_max));
  if (!ready) return ready.error();
  return client;
}

CompareOutcome<CompareLink> Pair::open(const std::string&, std::uint32_t statement_ms_max) {
  auto writer = connect(writer_, statement_ms_max);
  if (!writer) return writer.error();
  auto follower = connect(router::other(writer_), statement_ms_max);
  if (!follower) return follower.error();
  const auto& sql = sql_for((*writer)->mysql().dialect().product, kind_);
  return CompareLink{sql, std::move(*writer), std::move(*follower)};
}

// A table that was made or altered a moment ago is not there yet, or is another one: looked at again behind a marker,
// until the writer's stands still.
CompareOutcome<TableLook> Pair::look(CompareLink& link, const TableState& table) {
  auto& writer = static_cast<Client&>(*link.writer).mysql();
  auto& follower = static_cast<Client&>(*link.follower).mysql();
  TableLook look;
  look.carrier = carrier_;
  auto here = read_facts(writer, table.table);
  for (int looks = 0; looks < table_looks_max; ++looks) {
    if (!here) return error_of(here.error());
    if (looks > 0) {
      if (const auto caught_up = let_catch_up(link); !caught_up) return caught_up.error();
    }
    const auto there = read_facts(follower, table.table);
    if (!there) return error_of(there.error());
    look.plan = make_mysql_plan(table.table, *here, *there, writer_);
    look.rows_estimate = here->rows_estimate;
    if (look.plan.differences.empty()) break;
    here = read_facts(writer, table.table);
    if (!here) return error_of(here.error());
    if (looks > 0 && make_mysql_plan(table.table, *here, *there, writer_).differences == look.plan.differences) break;
  }
  return look;
}

CompareOutcome<bool> Pair::let_catch_up(CompareLink& link) const {
  const auto marker = link.writer->query(link.sql.marker(carrier_));
  if (!marker) return marker.error();
  for (int looks = 0; looks < marker_looks_max; ++looks) {
    const auto arrived = link.follower->query(link.sql.arrived(carrier_, marker->text(0, 0)));
    if (!arrived) return arrived.error();
    if (!arrived->empty()) return true;
  }
  return CompareError{link.follower->text() + " is behind, and the table not yet the same on both sides"};
}

// Columns of a usable index: unique, whole columns without NULL, in an order.
struct Index {
  std::vector<std::string> columns;
  bool is_key = true;
};

}  // namespace

TableFacts mysql_table_facts(const TableName& table, const MysqlRows& columns, const MysqlRows& indexes) {
  TableFacts facts;
  // The server compares names without case here; tables may be told apart by it.
  const auto is_ours = [&](const MysqlRows& rows, std::size_t row) {
    return rows.text(row, "TABLE_NAME") == table.name && rows.text(row, "TABLE_SCHEMA") == table.schema;
  };
  for (std::size_t row = 0; row < columns.size(); ++row) {
    if (!is_ours(columns, row)) continue;
    facts.exists = true;
    ColumnFact one;
    one.name = columns.text(row, "COLUMN_NAME");
    const auto shown = columns.text(row, "COLUMN_TYPE"), collation = columns.text(row, "COLLATION_NAME");
    one.type = mysql_compare_type(columns.text(row, "DATA_TYPE"), shown, collation);
    one.shown_type = shown + (collation.empty() ? "" : " COLLATE " + collation);
    one.generated = !columns.text(row, "GENERATION_EXPRESSION").empty();
    one.not_null = columns.text(row, "IS_NULLABLE") == "NO";
    one.ordered_alike = true;  // where the types are equal
    facts.columns.push_back(std::move(one));
  }
  const auto find = [&](const std::string& name) {
    return std::find_if(facts.columns.begin(), facts.columns.end(), [&](const auto& one) { return one.name == name; });
  };
  std::vector<std::pair<std::string, Index>> all;  // in their order: the primary key first
  for (std::size_t row = 0; row < indexes.size(); ++row) {
    if (!is_ours(indexes, row)) continue;
    const auto name = indexes.text(row, "INDEX_NAME");
    if (all.empty() || all.back().first != name) all.emplace_back(name, Index{});
    auto& index = all.back().second;
    const auto column = find(indexes.text(row, "COLUMN_NAME"));
    const bool is_hidden = indexes.text(row, "IS_VISIBLE") == "NO" || indexes.text(row, "IGNORED") == "YES";
    const bool is_whole = indexes.text(row, "SUB_PART").empty() && indexes.text(row, "INDEX_TYPE") == "BTREE";
    if (column == facts.columns.end() || !is_whole || is_hidden) {
      index.is_key = false;
      continue;
    }
    if (index.columns.empty()) column->leads_an_index = true;
    if (indexes.text(row, "NON_UNIQUE") != "0" || !column->not_null || column->type.starts_with("long "))
      index.is_key = false;
    index.columns.push_back(column->name);
  }
  const auto best = std::find_if(all.begin(), all.end(), [](const auto& one) { return one.second.is_key; });
  if (best == all.end()) return facts;
  facts.key_index = best->first;
  int position = 0;
  for (const auto& name : best->second.columns) find(name)->key_position = ++position;
  return facts;
}

std::unique_ptr<ComparePair> mysql_compare_pair(MysqlShelf& shelf) {
  return std::make_unique<Pair>(shelf);
}

}  // namespace turnout::control
