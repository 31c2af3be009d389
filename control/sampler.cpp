#include "control/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "control/catalog_loader.h"
#include "control/mysql_catalog.h"
#include "control/step_context.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t ask_ms_max = 2'000;
constexpr std::int64_t idle_ms = 1'000;  // between looks without a ramp: for status and metrics only
constexpr std::int64_t reader_ms = 100;  // the side that follows is asked whether it is there
constexpr std::int64_t quiet_ms = 40;    // between samples while the writer's log stands still
constexpr std::uint32_t quiet_samples_min = 25;
constexpr std::int64_t choose_ms = 200;
constexpr std::int64_t measure_ms = 1'000;
constexpr std::int64_t catalog_ms = 30'000;
constexpr std::int64_t types_ms = 5'000;
constexpr std::int64_t definitions_ms = 1'000;
constexpr std::int64_t discover_ms = 30'000;
constexpr std::int64_t unreachable_ms = 3'000;
constexpr std::size_t waiting_max = 4'096;  // beyond that green is evicted anyway
constexpr std::uint64_t page_bytes = 8192, page_header = 24, segment_header = 40;

// Does the data path have to know how far the follower is? Else the samples are for status and metrics only.
bool needs_tokens(const router::RoutingTable& table) {
  return table.ramp.percent != 0 || table.shadow.percent != 0;
}

bool anybody_reads_bounded(const conf::Ramp& ramp) {
  const auto is_bounded = [](const auto& entry) { return entry.second == conf::TokenPolicy::bounded; };
  return ramp.policy == conf::TokenPolicy::bounded || std::ranges::any_of(ramp.user_policies, is_bounded) ||
         std::ranges::any_of(ramp.database_policies, is_bounded);
}

}  // namespace

std::uint64_t without_page_header(std::uint64_t insert_position) {
  const auto in_page = insert_position % page_bytes;
  // A segment's first page has the long header; segments are at least 1 MiB and begin at page boundaries.
  if (in_page == page_header || (in_page == segment_header && insert_position % (1U << 20U) == segment_header)) {
    return insert_position - in_page;
  }
  return insert_position;
}

void Positions::add(std::uint64_t number, std::uint64_t position, std::int64_t at_ms) {
  waiting_.push_back({number, position, at_ms});
  // Leaving out a sample in the middle is always allowed: a session waits for the next one.
  if (waiting_.size() > waiting_max) waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(waiting_max / 2));
}

std::uint64_t Positions::proven(std::uint64_t applied) {
  while (!waiting_.empty() && waiting_.front().position <= applied) {
    proven_ = waiting_.front().number;
    waiting_.pop_front();
  }
  return proven_;
}

std::int64_t Positions::lag_ms(std::int64_t now_ms) const {
  return waiting_.empty() ? 0 : now_ms - waiting_.front().at_ms;
}

void Positions::clear() {
  waiting_.clear();
  proven_ = 0;
}

Sampler::Sampler(Context context) : context_(std::move(context)) {
  if (context_.mysql != nullptr)
    mysql_ = std::make_unique<MysqlFollow>(*context_.mysql, context_.proxy, context_.index, context_.routes);
}

std::int64_t Sampler::now_ms() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch()).count();
}

void Sampler::start() {
  thread_ = std::thread([this] { loop(); });
}

void Sampler::stop() {
  {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

LagNumbers Sampler::lag() const {
  const std::lock_guard guard(mutex_);
  return lag_;
}

router::CatalogPtr Sampler::catalog() const {
  const std::lock_guard guard(mutex_);
  return catalog_;
}

std::string Sampler::load_catalog(router::Side writer) {
  const std::lock_guard one(loading_);
  if (mysql_) return load_mysql(writer);
  const auto topology = discover(context_.shelf, writer, context_.config().databases);
  if (!topology) return topology.error().message();
  std::uint64_t generation = 0;
  {
    const std::lock_guard guard(mutex_);
    generation = ++catalog_generation_;
  }
  auto loaded = control::load_catalog(context_.shelf, *topology, generation, context_.deployment);
  if (!loaded) return loaded.error().message();
  take_catalog(loaded->catalog, loaded->content);
  return context_.types.refresh(topology->databases());
}

std::string Sampler::load_mysql(router::Side writer) {
  std::uint64_t generation = 0;
  {
    const std::lock_guard guard(mutex_);
    generation = ++catalog_generation_;
  }
  auto loaded = load_mysql_catalog(*context_.mysql, writer, generation, context_.deployment);
  if (!loaded) return loaded.error().message();
  take_catalog(loaded->catalog, loaded->content);
  return "";
}

// A catalog that says the same would only make every worker forget its verdicts.
void Sampler::take_catalog(router::CatalogPtr catalog, std::uint64_t content) {
  {
    const std::lock_guard guard(mutex_);
    if (catalog_ != nullptr && content == catalog_content_) return;
    catalog_ = catalog;
    catalog_content_ = content;
  }
  context_.proxy.publish_catalog(context_.index, std::move(catalog));
}

std::string Sampler::cast_shadow(int percent) {
  const auto table = context_.routes.table();
  if (percent != 0) {
    if (auto error = load_catalog(table.writer); !error.empty()) return error;
  }
  if (!context_.routes.set_shadow({static_cast<std::uint8_t>(percent)})) {
    return "a cutover holds or has just moved the writer: wait until it has settled";
  }
  wake_.notify_all();
  return "";
}

std::string Sampler::shift(int percent) {
  const auto table = context_.routes.table();
  router::RampOrders ramp = table.ramp;
  ramp.side = router::other(table.writer);
  ramp.policy = context_.config().ramp.policy;
  ramp.percent = static_cast<std::uint8_t>(percent);
  if (percent == 0) {
    ramp.threshold = 0;
    ramp.control_from = router::threshold_all;
    ramp.evicted = ramp.late = false;
  } else {
    if (!context_.config().ramp.lets_anyone_read_on_green()) {
      return "ramp.policy is strict: green gets no live reads";
    }
    if (auto error = load_catalog(table.writer); !error.empty()) return error;
    std::vector<router::SessionReads> reads;
    for (const auto& one : context_.proxy.session_reads(context_.index)) reads.push_back({one.hash, one.reads});
    const router::Choice current{table.ramp.percent, table.ramp.threshold};
    const auto chosen = router::choose_threshold(current, ramp.percent, reads);
    ramp.threshold = chosen.threshold;
    ramp.control_from = router::choose_control(chosen, table.ramp.control_from, reads);
  }
  if (!context_.routes.set_ramp(ramp)) return "a cutover holds or has just moved the writer: wait until it has settled";
  wake_.notify_all();
  return "";
}

void Sampler::loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const auto table = context_.routes.table();
    const auto config = context_.config();
    if (config.green && table.version != 0 && now_ms() >= retry_at_ms_) look(table, config);
    const auto after = context_.routes.table();
    if (config.green && after.version != 0) context_.after_look(after, now_ms());
    lock.lock();
    const auto period = needs_tokens(after) ? sample_period_ms(config.ramp) : idle_ms;
    if (!stopping_) wake_.wait_for(lock, std::chrono::milliseconds(period));
  }
}

// Where nothing is written nothing has to be proven: what is written next waits that much longer, once.
std::int64_t Sampler::sample_period_ms(const conf::Ramp& ramp) const {
  const bool is_quiet = quiet_samples_ >= quiet_samples_min && !anybody_reads_bounded(ramp);
  return is_quiet ? std::max<std::int64_t>(ramp.sample_ms, quiet_ms) : ramp.sample_ms;
}

void Sampler::look(const router::RoutingTable& table, const conf::Deployment& config) {
  if (table.epoch != table_epoch_ || table.writer != table_writer_) {
    // Positions of one writer's log have nothing to do with those of another one's.
    table_epoch_ = table.epoch;
    table_writer_ = table.writer;
    types_at_ms_ = 0;
    writer_.reset();
    topology_.reset();
    reader_.reset();
    doubted_until_ = "-infinity";
    positions_.clear();
    if (mysql_) mysql_->forget();
    read_set_.reset();
  }
  const auto now = now_ms();
  const bool known = mysql_ ? sample_mysql(table) : connect(table.writer) && sample(table);
  if (!known) {
    writer_.reset();
    topology_.reset();
    if (!needs_tokens(table)) retry_at_ms_ = now + unreachable_ms;
    const std::lock_guard guard(mutex_);
    lag_ = {};
  }
  // Types may be made at any time, on the writer last; those of before it was the writer are known.
  if (topology_ && (types_at_ms_ == 0 || now - types_at_ms_ >= types_ms)) {
    static_cast<void>(context_.types.refresh_if_changed(topology_->databases()));
    types_at_ms_ = now;
  }
  if (table.ramp.percent == 0) {
    actual_ratio_ = 0;
    read_set_.reset();
    if (table.shadow.percent == 0)
      definitions_.clear();
    else
      refresh_catalog(table);
    return;
  }
  judge_lag(table, known, config.ramp);
  if (context_.routes.table().version != table.version) return;
  if (now - chosen_at_ms_ >= choose_ms) choose(table);
  if (now - measured_at_ms_ >= measure_ms) measure(table);
  refresh_catalog(table);
}

void Sampler::judge_lag(const router::RoutingTable& table, bool known, const conf::Ramp& bounds) {
  if (!read_set_) {
    read_set_.emplace(router::LagBounds{bounds.lag_bytes_max, 0});
    fresh_set_.emplace(router::LagBounds{0, bounds.bounded_ms});
  }
  router::LagSample lag;
  {
    const std::lock_guard guard(mutex_);
    lag = {known && lag_.known, static_cast<std::uint64_t>(lag_.bytes),
           static_cast<std::uint32_t>(lag_.seconds * 1000)};
  }
  auto ramp = table.ramp;
  ramp.evicted = read_set_->add(lag);
  ramp.late = fresh_set_->add(lag) && anybody_reads_bounded(bounds);  // else nobody is to hear of it
  if (ramp.evicted == table.ramp.evicted && ramp.late == table.ramp.late) return;
  if (!context_.routes.set_ramp(ramp, table.version)) return;
  const auto side = router::name(table.ramp.side);
  if (ramp.evicted != table.ramp.evicted) {
    if (!ramp.evicted) {
      context_.on_event(fmt::format("{} is back in the read set", side));
    } else if (!lag.known) {
      context_.on_event(fmt::format("{} left the read set: nobody knows how far it has got", side));
    } else {
      context_.on_event(
          fmt::format("{} left the read set: {:.0f} bytes behind", side, static_cast<double>(lag.lag_bytes)));
    }
  }
  if (ramp.late != table.ramp.late && ramp.policy == conf::TokenPolicy::bounded) {
    context_.on_event(ramp.late ? fmt::format("{} is {} ms old, bounded reads leave it", side, lag.lag_ms)
                                : fmt::format("{} is fresh enough for bounded reads again", side));
  }
}

// What verdicts depend on and a statement can change: functions, views, operators, policies, casts and checks of
// domains of the user's, what is published, by the row versions of their catalogs: changes at the commit of whatever
// changes them. Of relations only which are unlogged: the catalog of all is large, and other statements write it all
// the time. Of every database that moves.
std::string Sampler::definitions_mark(const router::RoutingTable& table) {
  constexpr const char* sql =
      "SELECT sum(hashtextextended(concat_ws(' ', tableoid, xmin), oid::bigint)) FROM ("
      "SELECT tableoid, xmin, oid FROM pg_proc WHERE oid >= 16384 "
      "UNION ALL SELECT tableoid, xmin, oid FROM pg_rewrite WHERE oid >= 16384 "
      "UNION ALL SELECT tableoid, xmin, oid FROM pg_operator WHERE oid >= 16384 "
      "UNION ALL SELECT tableoid, xmin, oid FROM pg_policy "
      "UNION ALL SELECT tableoid, xmin, oid FROM pg_cast WHERE oid >= 16384 "
      "UNION ALL SELECT tableoid, xmin, oid FROM pg_constraint WHERE contypid <> 0 "
      "UNION ALL SELECT tableoid, xmin, oid FROM pg_publication "
      "UNION ALL SELECT tableoid, xmin, oid FROM pg_publication_rel "
      "UNION ALL SELECT tableoid, NULL, oid FROM pg_class WHERE relpersistence = 'u') AS rows";
  std::string mark;
  for (const auto& database : topology_->databases()) {
    auto loan = context_.shelf.take(table.writer, database, ask_ms_max);
    if (!loan) return "";
    const auto rows = (*loan)->query(sql, ask_ms_max);
    if (!rows) return "";
    mark += database + ' ' + rows->text(0, 0) + ';';
  }
  return mark;
}

// What is called volatile today may have been stable yesterday. The marks are cheap and looked at often; the whole is
// read when they change, and from time to time (tables, privileges, what is carried).
void Sampler::refresh_catalog(const router::RoutingTable& table) {
  const auto now = now_ms();
  bool is_due = now - catalog_at_ms_ >= catalog_ms;
  if (topology_ && now - definitions_at_ms_ >= definitions_ms) {
    definitions_at_ms_ = now;
    const auto mark = definitions_mark(table);
    is_due = is_due || (!mark.empty() && mark != definitions_);
    if (!mark.empty()) definitions_ = mark;
  }
  if (!is_due) return;
  catalog_at_ms_ = now;
  static_cast<void>(load_catalog(table.writer));  // keeps the old one when it fails
}

bool Sampler::connect(router::Side writer) {
  const auto now = now_ms();
  if (!topology_ || now - discovered_at_ms_ >= discover_ms) {
    auto found = discover(context_.shelf, writer, context_.config().databases);
    if (!found) return false;
    topology_ = std::move(*found);
    discovered_at_ms_ = now;
  }
  if (writer_ && writer_->is_usable()) return true;
  auto opened = context_.shelf.fresh(writer, topology_->streams.front().database, ask_ms_max);
  if (!opened) return false;
  writer_ = std::move(*opened);
  return true;
}

// A crash of the reading side takes back what it had applied and not yet made durable. As long as a connection lives
// there was none; when it is lost, nothing is proven any more, and what the streams of before say counts only as far as
// it is durable. A server that ends closes its connections; only of a machine that does not a question finds out, and
// that takes longer to come back than the time between two of them.
void Sampler::watch_reader(const router::RoutingTable& table) {
  if (reader_ && reader_->is_alive()) {
    const auto now = now_ms();
    if (now - reader_asked_at_ms_ < reader_ms) return;
    reader_asked_at_ms_ = now;
    if (reader_->query("SELECT 1", ask_ms_max)) return;
  }
  if (reader_) {
    reader_.reset();
    positions_.clear();
    context_.proxy.tokens(context_.index).proven.store(0);
    const auto now = writer_->query("SELECT clock_timestamp()", ask_ms_max);
    doubted_until_ = now ? now->text(0, 0) : "infinity";
  }
  auto opened = context_.shelf.fresh(router::other(table.writer), topology_->streams.front().database, ask_ms_max);
  if (opened) reader_ = std::move(*opened);
}

// Asks the writer where its log ends, then a few times how far the slowest stream has been applied.
bool Sampler::sample(const router::RoutingTable& table) {
  // A busy session's reads are provable only between the sample and its proof: keep that short.
  constexpr int looks = 5;
  watch_reader(table);
  if (!reader_) return false;
  auto& board = context_.proxy.tokens(context_.index);
  const auto number = board.started.fetch_add(1) + 1;
  const auto at_ms = now_ms();
  std::string slots;
  for (const auto& stream : topology_->streams) slots += (slots.empty() ? "" : ", ") + quote_literal(stream.slot);
  const auto sql =
      "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint, (min(coalesce(CASE WHEN r.backend_start > " +
      quote_literal(doubted_until_) +
      "::timestamptz THEN r.replay_lsn ELSE r.flush_lsn END, '0/0')) - '0/0'::pg_lsn)::bigint, "
      "max(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), s.restart_lsn)) FROM pg_replication_slots s LEFT JOIN "
      "pg_stat_replication r ON r.pid = s.active_pid WHERE s.slot_name IN (" +
      slots + ")";
  std::uint64_t position = 0, applied = 0;
  double retained = 0;
  for (int times = 0; times < looks; ++times) {
    const auto rows = writer_->query(sql, ask_ms_max);
    if (!rows || rows->is_null(0, 1)) return false;
    applied = static_cast<std::uint64_t>(rows->integer(0, 1));
    retained = rows->number(0, 2);
    if (times == 0) {
      position = without_page_header(static_cast<std::uint64_t>(rows->integer(0, 0)));
      positions_.add(number, position, at_ms);
      quiet_samples_ = position == last_position_ ? quiet_samples_ + 1 : 0;
      last_position_ = position;
    }
    const auto proven = positions_.proven(applied);
    // A table of another epoch may have been published meanwhile; its sessions must not trust these numbers.
    if (context_.routes.table().epoch == table.epoch && needs_tokens(table)) board.proven.store(proven);
    if (proven >= number || !needs_tokens(table)) break;
    medium_pause();
  }
  const std::lock_guard guard(mutex_);
  lag_ = {applied != 0, position > applied ? static_cast<double>(position - applied) : 0.0,
          static_cast<double>(positions_.lag_ms(now_ms())) / 1000, retained};
  return true;
}

bool Sampler::sample_mysql(const router::RoutingTable& table) {
  const auto told = mysql_->look(table, needs_tokens(table), now_ms());
  if (!told) return false;
  const std::lock_guard guard(mutex_);
  lag_ = *told;
  return true;
}

void Sampler::choose(const router::RoutingTable& table) {
  chosen_at_ms_ = now_ms();
  std::vector<router::SessionReads> reads;
  for (const auto& one : context_.proxy.session_reads(context_.index)) reads.push_back({one.hash, one.reads});
  const router::Choice current{table.ramp.percent, table.ramp.threshold};
  const auto next = router::choose_threshold(current, table.ramp.percent, reads);
  const auto control_from = router::choose_control(next, table.ramp.control_from, reads);
  if (next.threshold == table.ramp.threshold && control_from == table.ramp.control_from) return;
  auto ramp = table.ramp;
  ramp.threshold = next.threshold;
  ramp.control_from = control_from;
  // The operator may have set another weight since this table was read; that one stands.
  static_cast<void>(context_.routes.set_ramp(ramp, table.version));
}

void Sampler::measure(const router::RoutingTable& table) {
  measured_at_ms_ = now_ms();
  const auto counters = context_.proxy.counters(context_.index);
  const auto ramped = counters.reads_proven[index(table.ramp.side)];
  const auto others = counters.reads_proven[index(table.writer)];
  const auto new_ramped = ramped - std::min(ramped, last_reads_[0]);
  const auto new_others = others - std::min(others, last_reads_[1]);
  last_reads_[0] = ramped;
  last_reads_[1] = others;
  const auto all = new_ramped + new_others;
  actual_ratio_ = all == 0 ? 0 : static_cast<double>(new_ramped) / static_cast<double>(all);
}

}  // namespace turnout::control
