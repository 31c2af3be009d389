#include "control/postgres_compare.h"

#include <algorithm>
#include <map>
#include <utility>

#include "control/compare_catalog.h"
#include "control/step_context.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t connect_ms_max = 5'000;
constexpr std::uint32_t setup_ms_max = 5'000;
constexpr std::uint32_t answer_ms_more = 2'000;  // the server's own deadline comes first

CompareError error_of(const PgError& error) {
  return {error.message(), error.lost, error.sqlstate == "57014"};
}

class Client final : public CompareClient {
 public:
  Client(Shelf::Loan loan, std::uint32_t ms_max) : loan_(std::move(loan)), ms_max_(ms_max) {
    loan_.discard();  // nobody else wants a session like this one
  }

  CompareOutcome<CompareRows> query(const std::string& sql) override {
    const auto answer = loan_->query(sql, ms_max_);
    if (!answer) return error_of(answer.error());
    std::vector<CompareRows::Row> rows(static_cast<std::size_t>(answer->size()));
    for (int row = 0; row < answer->size(); ++row) {
      for (int column = 0; column < answer->width(); ++column)
        rows[static_cast<std::size_t>(row)].push_back(answer->text(row, column));
    }
    return CompareRows(std::move(rows));
  }
  void roll_back() override {
    if (loan_->in_transaction()) static_cast<void>(loan_->query("ROLLBACK", setup_ms_max));
  }
  router::Side side() const override { return loan_->target().side; }
  std::string text() const override { return loan_->target().text(); }
  PgClient& pg() { return *loan_; }

 private:
  mutable Shelf::Loan loan_;
  const std::uint32_t ms_max_;
};

PgClient& pg(CompareClient& client) {
  return static_cast<Client&>(client).pg();
}

std::string marker_name(const std::string& carrier) {
  return quote_literal(carrier + "/compare");
}

std::string marker_sql(const std::string& carrier) {
  return writing("INSERT INTO turnout.marker (epoch, sub, token) VALUES (0, " + marker_name(carrier) +
                 ", gen_random_uuid()) ON CONFLICT (epoch, sub) DO UPDATE SET token = excluded.token, at = "
                 "clock_timestamp() RETURNING token::text");
}

std::string arrived_sql(const std::string& carrier, const std::string& token) {
  return "SELECT 1 FROM turnout.marker WHERE epoch = 0 AND sub = " + marker_name(carrier) +
         " AND token = " + quote_literal(token);
}

constexpr CompareSql sql_of_postgres = {
    .bound = bound_sql,
    .sum = sum_sql,
    .rows = rows_sql,
    .page = page_sql,
    .lookup = lookup_sql,
    .columns = columns_sql,
    .blocks = blocks_sql,
    .null_keys = null_keys_sql,
    .snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    .marker = marker_sql,
    .arrived = arrived_sql,
    .confirmations = 1,
};

class Pair final : public ComparePair {
 public:
  Pair(std::string deployment, Shelf& shelf, std::function<std::vector<std::string>()> databases)
      : deployment_(std::move(deployment)), shelf_(shelf), databases_(std::move(databases)) {}

  CompareOutcome<Tables> look_up(router::Side writer, bool with_left_out) override;
  CompareOutcome<CompareLink> open(const std::string& database, std::uint32_t statement_ms_max) override;
  CompareOutcome<TableLook> look(CompareLink& link, const TableState& table) override;

 private:
  [[nodiscard]] CompareOutcome<bool> add_tables(const Stream& stream, Tables& tables);
  [[nodiscard]] CompareOutcome<std::unique_ptr<Client>> connect(router::Side side, const std::string& database,
                                                                std::uint32_t statement_ms_max);

  const std::string deployment_;
  Shelf& shelf_;
  const std::function<std::vector<std::string>()> databases_;
  router::Side writer_ = router::Side::blue;
  HashMethod hash_ = HashMethod::quick;
  std::map<std::string, std::vector<PublishedTable>> published_;  // by database
};

CompareOutcome<ComparePair::Tables> Pair::look_up(router::Side writer, bool with_left_out) {
  writer_ = writer;
  published_.clear();
  const auto topology = discover(shelf_, writer_, databases_());
  if (!topology) return error_of(topology.error());
  Tables tables;
  tables.databases = topology->databases();
  tables.unknown = "is published";
  for (const auto& stream : topology->streams) {
    if (const auto added = add_tables(stream, tables); !added) return added.error();
  }
  for (const auto& whole : topology->merged()) {
    if (!with_left_out) break;
    auto client = shelf_.take(writer_, whole.database, connect_ms_max);
    if (!client) return error_of(client.error());
    const auto unpublished = unpublished_tables(**client, whole);
    if (!unpublished) return error_of(unpublished.error());
    tables.left_out.insert(tables.left_out.end(), unpublished->begin(), unpublished->end());
  }
  return tables;
}

CompareOutcome<bool> Pair::add_tables(const Stream& stream, Tables& tables) {
  auto writer = shelf_.take(writer_, stream.database, connect_ms_max);
  if (!writer) return error_of(writer.error());
  auto follower = shelf_.take(router::other(writer_), stream.database, connect_ms_max);
  if (!follower) return error_of(follower.error());
  const auto travels = marker_travels(**follower, stream);
  if (!travels) return error_of(travels.error());
  if (!*travels) {
    return CompareError{"no marker travels through " + stream.subscription + " of " + stream.database +
                        ", and without one nothing can be compared while it changes: 'turnout prepare " + deployment_ +
                        "' creates it"};
  }
  const auto published = published_tables(**writer, **follower, stream);
  if (!published) return error_of(published.error());
  auto& all = published_[stream.database];
  all.insert(all.end(), published->begin(), published->end());
  for (const auto& one : *published) {
    TableState table;
    table.database = stream.database;
    table.table = one.table;
    tables.all.push_back(std::move(table));
  }
  return true;
}

CompareOutcome<std::unique_ptr<Client>> Pair::connect(router::Side side, const std::string& database,
                                                      std::uint32_t statement_ms_max) {
  auto loan = shelf_.take(side, database, connect_ms_max);
  if (!loan) return error_of(loan.error());
  auto client = std::make_unique<Client>(std::move(*loan), statement_ms_max + answer_ms_more);
  const auto ready = client->pg().query(compare_session(statement_ms_max), setup_ms_max);
  if (!ready) return error_of(ready.error());
  return client;
}

CompareOutcome<CompareLink> Pair::open(const std::string& database, std::uint32_t statement_ms_max) {
  auto writer = connect(writer_, database, statement_ms_max);
  if (!writer) return writer.error();
  auto follower = connect(router::other(writer_), database, statement_ms_max);
  if (!follower) return follower.error();
  const auto hash = common_hash((*writer)->pg(), (*follower)->pg());
  if (!hash) return error_of(hash.error());
  hash_ = *hash;
  return CompareLink{sql_of_postgres, std::move(*writer), std::move(*follower)};
}

CompareOutcome<TableLook> Pair::look(CompareLink& link, const TableState& table) {
  const auto& list = published_[table.database];
  const auto published =
      std::find_if(list.begin(), list.end(), [&](const auto& one) { return one.table == table.table; });
  TableLook look;
  if (published->is_carried && !published->is_ready) {
    look.why_not = "its first copy is not done";
    return look;
  }
  const auto here = read_table_facts(pg(*link.writer), table.table);
  const auto there = read_table_facts(pg(*link.follower), table.table);
  if (!here || !there) return error_of(here ? there.error() : here.error());
  look.plan = make_plan(table.table, *here, *there, published->columns, published->filter, hash_, writer_);
  if (!published->is_carried) {
    look.plan.differences.push_back("published, but the subscription " + published->subscription +
                                    " does not carry it: ALTER SUBSCRIPTION … REFRESH PUBLICATION");
  }
  look.carrier = published->subscription;
  look.rows_estimate = here->rows_estimate;
  look.writer_blocks = here->blocks;
  look.follower_blocks = there->blocks;
  return look;
}

}  // namespace

std::unique_ptr<ComparePair> postgres_compare_pair(std::string deployment, Shelf& shelf,
                                                   std::function<std::vector<std::string>()> databases) {
  return std::make_unique<Pair>(std::move(deployment), shelf, std::move(databases));
}

}  // namespace turnout::control
