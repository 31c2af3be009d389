#include "control/mysql_follow.h"

#include <algorithm>
#include <string>
#include <utility>

#include "control/mysql_position.h"
#include "control/mysql_topology.h"
#include "control/step_context.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t ask_ms_max = 2'000;
constexpr std::size_t waiting_max = 4'096;  // beyond that the follower is evicted anyway
constexpr std::int64_t bytes_ms = 200;

std::optional<MysqlPosition> ask(MysqlClient& client, const char* sql) {
  const auto rows = client.query(sql);
  return rows ? parse_position(client.dialect(), rows->row(0)) : std::nullopt;
}

}  // namespace

void LogPositions::add(std::uint64_t number, MysqlPosition position, std::int64_t at_ms) {
  waiting_.push_back({number, std::move(position), at_ms});
  // Leaving out a sample in the middle is always allowed: a session waits for the next one.
  if (waiting_.size() > waiting_max) waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(waiting_max / 2));
}

std::uint64_t LogPositions::proven(const MysqlPosition& applied) {
  while (!waiting_.empty() && covers(applied, waiting_.front().position)) {
    proven_ = waiting_.front().number;
    waiting_.pop_front();
  }
  // The first one may never be reached, for it has what somebody was committing and gave up (its own gtid_next and
  // ROLLBACK). What had been committed by then is in the later ones too: any of them stands for all before it.
  const auto middle = waiting_.begin() + static_cast<std::ptrdiff_t>(waiting_.size() / 2);
  if (middle != waiting_.begin() && covers(applied, middle->position)) {
    proven_ = middle->number;
    waiting_.erase(waiting_.begin(), std::next(middle));
  }
  return proven_;
}

std::int64_t LogPositions::lag_ms(std::int64_t now_ms) const {
  return waiting_.empty() ? 0 : now_ms - waiting_.front().at_ms;
}

void LogPositions::clear() {
  waiting_.clear();
  proven_ = 0;
}

void MysqlFollow::forget() {
  close(writer_);
  close(reader_);
  positions_.clear();
  applied_.reset();
  bytes_at_ms_ = 0;
}

bool MysqlFollow::is_good(const std::optional<MysqlClient>& client) const {
  return client && client->is_usable() && shelf_.leads_there_still(*client);
}

bool MysqlFollow::open(std::optional<MysqlClient>& client, router::Side side) {
  if (is_good(client)) return true;
  close(client);
  auto opened = shelf_.fresh(side, ask_ms_max);
  if (!opened) return false;
  client = std::move(*opened);
  shelf_.keep(side, client->number(), 0);
  return true;
}

void MysqlFollow::close(std::optional<MysqlClient>& client) {
  if (client) shelf_.keep(client->target().side, 0, client->number());
  client.reset();
}

bool MysqlFollow::connect(router::Side writer) {
  // What was proven over a connection that is lost may be gone with its server.
  if (reader_ && !is_good(reader_)) lose_reader();
  const bool is_known = is_good(writer_) && is_good(reader_);
  if (!open(writer_, writer) || !open(reader_, router::other(writer))) return false;
  if (is_known || learn_kind()) return true;
  lose_reader();
  return false;
}

// Where a server has no GTIDs, its empty set would be covered by anything.
bool MysqlFollow::learn_kind() {
  const auto here = look_at(*writer_), there = look_at(*reader_);
  if (!here || !there) return false;
  const auto link = choose_link(there->links, here->id()).link;
  kind_ = kind_of(*here, *there, link);
  writer_id_ = here->id();
  positions_.clear();
  applied_.reset();
  return link || kind_ == PositionKind::gtid;
}

void MysqlFollow::lose_reader() {
  close(reader_);
  positions_.clear();
  applied_.reset();
  proxy_.tokens(index_).proven.store(0);
}

std::optional<MysqlPosition> MysqlFollow::ask_seen() {
  if (kind_ == PositionKind::gtid) return ask(*writer_, writer_->dialect().seen_sql);
  const auto end = log_end(*writer_, kind_);
  return end && *end ? parse_log_position(**end) : std::nullopt;
}

std::optional<MysqlPosition> MysqlFollow::ask_applied() {
  if (kind_ == PositionKind::gtid) return ask(*reader_, reader_->dialect().applied_sql);
  // A position in another server's log would look the same.
  const auto links = links_of(*reader_);
  const auto link = links ? choose_link(*links, writer_id_).link : std::nullopt;
  if (!link) return std::nullopt;
  const auto applied =
      link->applies ? seen_position(*reader_, link->connection) : committed_position(*reader_, link->connection);
  return applied ? *applied : std::optional<LogPosition>();
}

std::optional<LagNumbers> MysqlFollow::look(const router::RoutingTable& table, bool proves, std::int64_t now_ms) {
  // A busy session's reads are provable only between the sample and its proof: keep that short.
  constexpr int looks = 5;
  if (!connect(table.writer)) return std::nullopt;
  auto& board = proxy_.tokens(index_);
  const auto number = board.started.fetch_add(1) + 1;
  auto position = ask_seen();
  if (!position) {
    close(writer_);
    return std::nullopt;
  }
  positions_.add(number, std::move(*position), now_ms);
  const auto prove = [&] {
    const auto proven = positions_.proven(*applied_);
    // A table of another epoch may have been published meanwhile; its sessions must not trust these numbers.
    if (proves && routes_.table().epoch == table.epoch) board.proven.store(proven);
    return proven >= number;
  };
  // Where nothing was written since, what it had applied then will do.
  if (applied_ && reader_->is_alive()) static_cast<void>(prove());
  for (int times = 0; times < looks; ++times) {
    applied_ = ask_applied();
    if (!applied_) {
      lose_reader();
      return std::nullopt;
    }
    if (prove() || !proves) break;
    medium_pause();
  }
  if (now_ms - bytes_at_ms_ >= bytes_ms) ask_bytes(now_ms);
  return LagNumbers{true, bytes_, static_cast<double>(positions_.lag_ms(now_ms)) / 1000, 0};
}

// Only where the follower is behind: who is not has nothing to execute.
void MysqlFollow::ask_bytes(std::int64_t now_ms) {
  bytes_at_ms_ = now_ms;
  bytes_ = 0;
  if (positions_.lag_ms(now_ms) == 0 || !reader_->is_usable()) return;
  const auto links = links_of(*reader_);
  const auto logs = log_files(*writer_);
  if (!links || !logs || links->empty()) return;
  const auto& executed = links->front().executed;
  bytes_ = static_cast<double>((executed ? bytes_behind(*logs, *executed) : std::nullopt).value_or(INT64_MAX));
}

}  // namespace turnout::control
