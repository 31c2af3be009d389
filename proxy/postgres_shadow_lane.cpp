#include "proxy/postgres_shadow_lane.h"

#include <algorithm>
#include <utility>

#include "proxy/shadow_runner.h"
#include "proxy/shard.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

// Longer messages go through the lens in pieces, as they do on their way to clients.
constexpr std::size_t whole_bytes_max = 32 * 1024;

}  // namespace

PostgresShadowLane::~PostgresShadowLane() {
  close();
}

std::unique_ptr<Connection> PostgresShadowLane::make_connection() {
  return std::make_unique<ServerConnection>(account_.pool(side_, router::Access::read),
                                            account_.shard.worker.next_connection_id(), this);
}

std::optional<Abandoned> PostgresShadowLane::cut_short() {
  const ServerConnection& connection = of_postgres(*connection_);
  return Abandoned{connection.address(), connection.backend_pid(), connection.cancel_key(), at_ + 1 < asked_.size()};
}

// Where types have other numbers reads go one at a time: what the lens knows of unnamed statements is of the latest.
std::size_t PostgresShadowLane::put(std::span<const ShadowRead* const> reads, std::uint64_t kept_bytes_max) {
  const std::uint32_t keep_max = account_.shard.settings->conf.pool.prepared_statements_max;
  ServerConnection& connection = of_postgres(*connection_);
  connection.look_through(side_ == router::Side::green ? account_.types : nullptr);
  kept_bytes_max_ = kept_bytes_max;
  asked_.clear();
  at_ = 0;
  std::string message;
  for (const ShadowRead* const read : reads) {
    const auto& request = static_cast<const ShadowRequest&>(*read);
    asked_.push_back({&request, put_request(message, request, connection, keep_max, kept_bytes_max_ != 0)});
    if (connection.lens || !asked_.back().sent.may_be_followed()) break;
  }
  begin_answer();
  start_clock();
  connection_->send(message);
  return asked_.size();
}

void PostgresShadowLane::begin_answer() {
  reader_.emplace(runner_.hash_start(),
                  router::AnswerReader::Limits{runner_.limits().result_bytes_max, kept_bytes_max_});
  reader_->skip(asked_[at_].sent.answers_before);
}

void PostgresShadowLane::forget_answer() {
  reader_.reset();
  body_left_ = 0;
}

// ---- from the connection -------------------------------------------------------------------------------------------

void PostgresShadowLane::line_opened(ServerConnection&) {
  opened();
}

void PostgresShadowLane::line_failed(ServerConnection&, const LoginFailure&) {
  lost();
}

std::size_t PostgresShadowLane::line_bytes(ServerConnection& line, pg::Bytes data) {
  if (line.lens && reader_) {
    const std::size_t used = read_through(*line.lens, data);
    if (!reader_->is_over()) return used;
    finish();
    return data.size();
  }
  std::size_t used = 0;
  while (reader_ && used != data.size()) {
    used += reader_->feed(data.subspan(used));
    if (!reader_->is_over()) continue;
    const bool is_last = at_ + 1 == asked_.size();
    finish();
    if (is_last) break;
  }
  return data.size();  // behind what was asked: a notice, or last words
}

// The answer as a client would see it. How much of the bytes was used up: messages that are looked at whole wait.
std::size_t PostgresShadowLane::read_through(TypeLens& lens, pg::Bytes data) {
  const ShadowSent& sent = asked_[at_].sent;
  std::size_t at = 0;
  while (at < data.size() && !reader_->is_over()) {
    const pg::Bytes rest = data.subspan(at);
    if (body_left_ != 0) {
      const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(body_left_, rest.size()));
      body_left_ -= part;
      take_piece(lens, {}, rest.first(part), body_left_ == 0);
      at += part;
      continue;
    }
    pg::Header header;
    const pg::Framing framing = pg::read_header(rest, UINT32_MAX, header);
    if (framing == pg::Framing::incomplete) return at;
    if (framing == pg::Framing::malformed) {
      reader_->feed(rest);
      return data.size();
    }
    const std::size_t available = std::min(rest.size(), header.total());
    const pg::Bytes body = rest.subspan(pg::header_bytes, available - pg::header_bytes);
    const bool is_whole = available == header.total();
    const bool may_wait = !is_whole && header.total() <= whole_bytes_max;
    if (may_wait && (header.type != 'D' || body.empty())) return at;
    const bool is_description = header.type == 'T' || header.type == 't' || header.type == 'n';
    const TypeLens::Ticket ticket = header.type == 'D' ? sent.rows : is_description ? sent.description : 0;
    if (lens.begin_message(header.type, ticket, body, is_whole) && lens.wants_whole() && may_wait) return at;
    if (header.type == 'E') lens.failed();
    body_left_ = header.total() - available;
    take_piece(lens, std::string(pg::text(rest.first(pg::header_bytes))), body, is_whole);
    at += available;
  }
  return at;
}

// `message`: its header, if this is the first piece.
void PostgresShadowLane::take_piece(TypeLens& lens, std::string message, pg::Bytes body, bool is_last) {
  const bool resizes = lens.is_in_message() && lens.wants_whole() && is_last;
  if (lens.is_in_message())
    lens.body(message, body, is_last);
  else
    message.append(pg::text(body));
  if (resizes) put_length(message, 0);
  reader_->feed(pg::bytes_of(message));
}

void PostgresShadowLane::finish() {
  ServerConnection& connection = of_postgres(*connection_);
  if (connection.lens) connection.lens->ready(false);
  const bool has_failed = !reader_->digest().sqlstate.empty();
  // "cached plan must not change result type": the statement that the connection keeps is older than the tables.
  Asked& asked = asked_[at_];
  const bool is_stale = asked.request->statement && reader_->digest().sqlstate == "0A000";
  const bool is_usable = !is_stale && !reader_->has_failed_before() && reader_->status() == 'I' &&
                         reader_->digest().gap != router::AnswerGap::malformed;
  if (!is_usable) return lost();  // it is not as the session had it, or not understood
  if (asked.sent.awaits_types && !has_failed) {
    std::string message;
    put_execution(message, *asked.request, connection, kept_bytes_max_ != 0, asked.sent);
    asked.sent.answers_before = 0;  // have come
    begin_answer();
    connection_->send(message);
    return;
  }
  ShadowReply reply;
  reply.answer = {reader_->digest(), reader_->columns(), reader_->kept(), reader_->keeps_rows()};
  if (asked.sent.is_as_usual && at_ == 0) reply.us = clock_us();
  // Whether the server keeps what was prepared in a request that failed is not known here.
  const bool is_doubtful = asked.sent.prepares && has_failed;
  forget_answer();
  if (++at_ != asked_.size()) begin_answer();
  rest();
  if (is_doubtful) close();
  answered(std::move(reply));
}

// It reads for itself, and listens to nothing.
void PostgresShadowLane::line_answered(ServerConnection&) {}
void PostgresShadowLane::line_notified(ServerConnection&, pg::Bytes) {}
void PostgresShadowLane::line_read() {}

}  // namespace turnout::proxy
