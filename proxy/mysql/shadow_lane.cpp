#include "proxy/mysql/shadow_lane.h"

#include <algorithm>
#include <utility>

#include "protocol/mysql/reply.h"
#include "proxy/mysql/killer.h"
#include "proxy/shadow_runner.h"
#include "proxy/shard.h"
#include "proxy/worker.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

using Kind = my::Exchange::Kind;

namespace {

enum Own : std::uint32_t { own_state, own_prepare };

constexpr std::size_t whole_bytes_max = 32 * 1024;  // of what is looked at whole: session_server.cpp

}  // namespace

ShadowLane::~ShadowLane() {
  close();
}

std::unique_ptr<Connection> ShadowLane::make_connection() {
  return std::make_unique<ServerConnection>(account_.pool(side_, router::Access::read),
                                            account_.shard.worker.next_connection_id(), this);
}

// With its connection: what was sent behind the read that runs would be next.
std::optional<Abandoned> ShadowLane::cut_short() {
  static_cast<void>(send_kill(account_.shard, connection(), {}, Killer::Kills::connection));
  return std::nullopt;
}

// ---- asking --------------------------------------------------------------------------------------------------------

std::size_t ShadowLane::put(std::span<const ShadowRead* const> reads, std::uint64_t kept_bytes_max) {
  kept_bytes_max_ = kept_bytes_max;
  asked_.clear();
  at_ = 0;
  std::string message;
  for (const ShadowRead* const read : reads) {
    const auto& request = static_cast<const ShadowRequest&>(*read);
    if (!asked_.empty() && !goes_along(request)) break;
    put_request(message, request);
    if (!asked_.back().is_as_usual) break;  // what precedes it may fail
  }
  begin_answer();
  start_clock();
  connection().send(message);
  return asked_.size();
}

// Behind another one: nothing has to be said before it.
bool ShadowLane::goes_along(const ShadowRequest& request) {
  ServerConnection& line = connection();
  const bool is_at_home = request.database.empty() || line.database == request.database;
  return is_at_home && line.variables == request.variables &&
         (!request.is_prepared() || line.find_statement(request.key) != nullptr);
}

void ShadowLane::put_request(std::string& out, const ShadowRequest& request) {
  const std::size_t begin = out.size();
  put_state(out, request);
  asked_.push_back({request.is_prepared(), out.size() == begin});
  if (!request.is_prepared()) {
    std::string payload;
    my::put_query(payload, request.sql, connection().exchange.capabilities());
    ask(out, my::Command::query, payload);
    return;
  }
  execute_ = request.execute;
  key_ = request.key;
  if (const auto* const known = connection().find_statement(key_)) {
    ask_execute(out, known->number);
    return;
  }
  asked_.back().is_as_usual = false;
  connection().make_room(out, account_.shard.settings->conf.pool.prepared_statements_max);
  connection().put_own(out, my::Command::statement_prepare, request.sql, own_prepare);
}

void ShadowLane::begin_answer() {
  reader_.emplace(runner_.hash_start(),
                  router::MysqlAnswerReader::Limits{runner_.limits().result_bytes_max, kept_bytes_max_},
                  asked_[at_].is_prepared);
  reader_->begin(connection().exchange.capabilities());
  is_over_ = is_spoiled_ = false;
}

// A session without a database reads nothing that its name would stand for: it may run in any.
void ShadowLane::put_state(std::string& out, const ShadowRequest& request) {
  ServerConnection& line = connection();
  if (!request.database.empty() && line.database != request.database) {
    line.put_own(out, my::Command::init_db, request.database, own_state);
    line.database = request.database;
  }
  if (line.variables == request.variables) return;
  const std::string sql = Variables::difference(line.variables, request.variables, line.start());
  if (!sql.empty()) line.put_own(out, my::Command::query, sql, own_state);
  line.variables = request.variables;
}

void ShadowLane::ask(std::string& out, my::Command command, std::string_view payload, std::uint32_t statement) {
  my::put_message(out, 0, payload);
  my::Exchange::Entry entry;
  entry.command = command;
  entry.statement = statement;
  connection().exchange.sent(entry);
}

void ShadowLane::ask_execute(std::string& out, std::uint32_t statement) {
  my::set_statement(reinterpret_cast<std::uint8_t*>(execute_.data()), statement);
  ask(out, my::Command::statement_execute, execute_, statement);
}

// ---- the answer ----------------------------------------------------------------------------------------------------

std::size_t ShadowLane::line_bytes(Bytes data) {
  std::size_t at = 0;
  while (at < data.size() && reader_) {
    const std::size_t used = take_packet(data.subspan(at));
    if (used == 0) return at;
    at += used;
    if (!is_over_) continue;
    if (at_ + 1 != asked_.size()) {
      finish();
    } else if (at == data.size()) {
      finish();
      return at;
    } else {
      lost();  // more than was asked for: its last words
    }
  }
  if (state() != State::closed && at < data.size()) lost();
  return data.size();
}

// 0: it is not all here.
std::size_t ShadowLane::take_packet(Bytes rest) {
  ServerConnection& line = connection();
  my::Exchange& exchange = line.exchange;
  if (line.body_left != 0) {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(line.body_left, rest.size()));
    reader_->take_more(rest.first(part));
    line.body_left -= part;
    return part;
  }
  if (const std::size_t rows = exchange.take_rows(rest); rows != 0) {
    reader_->take_rows(rest.first(rows));
    return rows;
  }
  my::Header header;
  if (!my::read_header(rest, header)) return 0;
  const std::size_t available = std::min(rest.size(), header.total());
  if (available == my::header_bytes && header.payload != 0) return 0;
  const std::uint8_t first = header.payload != 0 ? rest[my::header_bytes] : std::uint8_t{0};
  const bool is_cut = available < header.total() && (exchange.is_ours_now() || exchange.wants_whole(header, first));
  if (is_cut && header.total() <= whole_bytes_max) return 0;
  const Bytes payload = rest.subspan(my::header_bytes, available - my::header_bytes);
  const Received received = exchange.received(header, payload);
  if (is_cut || received.unasked || received.action == my::Exchange::Action::protocol_error) {
    lost();
    return rest.size();
  }
  line.body_left = header.total() - available;
  if (received.action == my::Exchange::Action::swallow) {
    take_own(received, payload);
  } else {
    reader_->take(received, header, payload);
    is_over_ = received.completed;
  }
  return available;
}

void ShadowLane::take_own(const Received& received, Bytes payload) {
  if (received.kind == Kind::error) {
    reader_->take_error(my::parse_error(payload));
    is_spoiled_ = true;
  }
  if (received.entry.ticket != own_prepare) return;
  if (received.kind == Kind::prepared) connection().add_statement(key_, received.statement);
  if (!received.completed) return;
  const auto* const known = is_spoiled_ ? nullptr : connection().find_statement(key_);
  is_over_ = known == nullptr;
  if (is_over_) return;
  std::string message;
  ask_execute(message, known->number);
  connection().send(message);
}

void ShadowLane::finish() {
  const my::Exchange& exchange = connection().exchange;
  const bool is_in_transaction = exchange.is_status_known() && exchange.in_transaction();
  if (is_in_transaction || reader_->digest().gap == router::AnswerGap::malformed) return lost();
  ShadowReply reply;
  reply.answer = {reader_->digest(), reader_->columns(), reader_->kept(), reader_->keeps_rows()};
  if (asked_[at_].is_as_usual && at_ == 0) reply.us = clock_us();
  const bool is_spoiled = is_spoiled_;
  reader_.reset();
  if (++at_ != asked_.size()) begin_answer();
  rest();
  if (is_spoiled) close();
  answered(std::move(reply));
}

}  // namespace turnout::proxy::mysql
