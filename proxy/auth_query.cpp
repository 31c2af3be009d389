#include "proxy/auth_query.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>

#include "proxy/greeting.h"
#include "proxy/shard.h"
#include "proxy/worker.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

constexpr std::size_t in_flight_max = 32;
constexpr std::size_t message_bytes_max = 64 * 1024;
constexpr std::uint64_t retry_ms = 200;

}  // namespace

AuthQuery::AuthQuery(Shard& shard) : shard_(shard) {}

AuthQuery::~AuthQuery() = default;

void AuthQuery::ask(Greeting& greeting) {
  const auto same = std::find_if(questions_.begin(), questions_.end(),
                                 [&](const Question& question) { return question.user == greeting.user(); });
  if (same != questions_.end()) {
    same->greetings.push_back(&greeting);
    return;
  }
  questions_.push_back({greeting.user(), {&greeting}, 0});
  if (transport_.is_open())
    send_questions();
  else
    open();
}

void AuthQuery::forget(const Greeting& greeting) {
  for (Question& question : questions_) std::erase(question.greetings, &greeting);
}

// ---- the connection ------------------------------------------------------------------------------------------------

void AuthQuery::open() {
  const std::uint64_t now_ms = shard_.worker.loop.now_ms();
  if (dial_ || now_ms < retry_at_ms_) return;
  const conf::AuthQuery& conf = shard_.settings->conf.auth_query;
  began_ms_ = now_ms;
  side_ = shard_.table().writer;
  pg::ServerLogin::Input input;
  input.user = conf.login.user;
  input.database = conf.database;
  if (!conf.login.password.empty()) {
    input.secret.kind = pg::Secret::Kind::plain;
    input.secret.text = conf.login.password;
  }
  input.parameters = {{"application_name", "turnout_auth"},
                      {"client_encoding", "UTF8"},
                      {"search_path", "pg_catalog"},
                      {"default_transaction_read_only", "on"},
                      {"statement_timeout", std::to_string(shard_.settings->conf.limits.login_ms_max)}};
  dial_ = std::make_unique<ServerDial>(shard_, side_, *this);
  dial_->begin(std::move(input));
  opened();
}

void AuthQuery::opened() {
  if (dial_->state() == ServerDial::State::done) {
    transport_ = dial_->take_transport();
    dial_.reset();
    shard_.worker.loop.change(transport_.fd(), EPOLLIN, *this);
    send_questions();
  } else if (dial_->state() == ServerDial::State::failed) {
    const LoginFailure failure = dial_->failure();
    disconnect();
    // A server that is down or changing hands will be asked again, as long as the clients' logins may take.
    if (!failure.is_transient()) fail_all(failure.message.c_str());
  }
}

void AuthQuery::disconnect() {
  if (transport_.is_open()) shard_.worker.loop.remove(transport_.fd(), *this);
  transport_.close();
  dial_.reset();
  input_.clear();
  output_.clear();
  sent_ = 0;
  answer_ = {};
  retry_at_ms_ = shard_.worker.loop.now_ms() + retry_ms;
  for (Question& question : questions_) question.asked_ms = 0;
}

void AuthQuery::fail_all(const char* reason) {
  spdlog::warn("auth query of {}: {}", shard_.deployment.name, reason);
  std::deque<Question> failed;
  failed.swap(questions_);
  for (Question& question : failed)
    for (Greeting* greeting : std::exchange(question.greetings, {})) greeting->secret_unavailable();
}

void AuthQuery::settings_changed() {
  if (dial_ || transport_.is_open()) disconnect();
  retry_at_ms_ = 0;
  if (questions_.empty()) return;
  if (shard_.settings->conf.auth_query.is_set())
    open();
  else
    fail_all("it is not configured any more");
}

void AuthQuery::tick() {
  const conf::Deployment& conf = shard_.settings->conf;
  const std::uint64_t now_ms = shard_.worker.loop.now_ms();
  const bool has_moved = (dial_ || transport_.is_open()) && side_ != shard_.table().writer;
  const bool opens_too_long = dial_ && now_ms - began_ms_ > conf.pool.connect_ms_max;
  const bool waits_too_long = sent_ != 0 && now_ms - questions_.front().asked_ms > conf.limits.login_ms_max;
  if (has_moved || opens_too_long || waits_too_long) disconnect();
  if (has_moved) retry_at_ms_ = 0;
  std::erase_if(questions_,
                [](const Question& question) { return question.asked_ms == 0 && question.greetings.empty(); });
  if (!questions_.empty() && !dial_ && !transport_.is_open()) open();
}

// ---- questions and answers -----------------------------------------------------------------------------------------

void AuthQuery::send_questions() {
  std::string out;
  const std::string& sql = shard_.settings->conf.auth_query.query;
  for (; sent_ < questions_.size() && sent_ < in_flight_max; ++sent_) {
    Question& question = questions_[sent_];
    question.asked_ms = shard_.worker.loop.now_ms();
    const std::string& user = question.user;
    pg::Writer(out).begin('P').cstring("").cstring(sql).u16(0).end();
    pg::Writer(out)
        .begin('B')
        .cstring("")
        .cstring("")
        .u16(0)
        .u16(1)
        .u32(static_cast<std::uint32_t>(user.size()))
        .raw(user)
        .u16(0)
        .end();
    pg::Writer(out).begin('E').cstring("").u32(2).end();  // two rows are as wrong as a thousand
    pg::put_empty_message(out, 'S');
  }
  send(out);
}

void AuthQuery::send(std::string_view bytes) {
  if (bytes.empty()) return;
  output_.append(bytes);
  const IoResult put = transport_.write(output_);
  if (put.status != IoStatus::ok) {
    disconnect();  // asked again by the tick
    return;
  }
  output_.erase(0, put.bytes);
  shard_.worker.loop.change(transport_.fd(), output_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT, *this);
}

void AuthQuery::on_events(std::uint32_t events) {
  if (dial_) {
    dial_->on_events();
    opened();
    return;
  }
  if ((events & EPOLLOUT) != 0 && !output_.empty()) send(std::exchange(output_, {}));
  if (transport_.is_open() && (events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) on_readable();
}

void AuthQuery::on_readable() {
  do {
    const std::span<std::uint8_t> buffer = shard_.worker.buffer();
    const IoResult got = transport_.read(buffer);
    if (got.status == IoStatus::would_block) return;
    if (got.status != IoStatus::ok) {
      disconnect();
      return;
    }
    input_.append(pg::text(buffer.first(got.bytes)));
    pg::Header header;
    pg::Framing framing = pg::Framing::complete;
    while (transport_.is_open()) {
      framing = pg::read_header(pg::bytes_of(input_), message_bytes_max, header);
      if (framing != pg::Framing::complete || input_.size() < header.total()) break;
      const std::string message = input_.substr(0, header.total());
      input_.erase(0, header.total());
      on_message(header.type, pg::bytes_of(message).subspan(pg::header_bytes));
    }
    if (framing == pg::Framing::malformed) {
      disconnect();
      fail_all("the server sent a malformed or a very long message");
      return;
    }
  } while (transport_.is_open() && transport_.has_pending());
}

void AuthQuery::on_message(char type, pg::Bytes body) {
  if (type == 'D') {
    on_row(body);
  } else if (type == 'E') {
    answer_.is_usable = false;
    const pg::ErrorFields error = pg::parse_error(body);
    spdlog::warn("auth query of {}: {} {}", shard_.deployment.name, error.sqlstate, error.message);
  } else if (type == 'Z') {
    answer();
  }
}

void AuthQuery::on_row(pg::Bytes body) {
  ++answer_.rows;
  pg::Reader reader(body);
  const auto columns = reader.u16();
  std::array<std::optional<std::string_view>, 2> values;
  for (std::optional<std::string_view>& value : values) {
    const auto length = reader.u32();
    if (!length) break;
    constexpr std::uint32_t null_length = 0xffffffff;
    if (*length == null_length) continue;
    if (const auto bytes = reader.take(*length)) value = pg::text(*bytes);
  }
  const bool is_asked = sent_ != 0 && values[0] == questions_.front().user;
  if (!columns || *columns < 2 || !is_asked || !values[1] || answer_.rows > 1)
    answer_.secret.reset();
  else
    answer_.secret = pg::parse_secret(*values[1]);
}

void AuthQuery::answer() {
  const Answer answer = std::exchange(answer_, {});
  if (sent_ == 0) return;
  Question question = std::move(questions_.front());
  questions_.pop_front();
  --sent_;
  if (answer.is_usable) {
    const conf::AuthQuery& conf = shard_.settings->conf.auth_query;
    shard_.deployment.fetched().put(question.user, answer.rows == 1 ? answer.secret : std::nullopt,
                                    shard_.worker.loop.now_ms(), conf.cache_ms, conf.cache_users_max);
  }
  // One by one from the list: each of them may end, and take others along.
  for (Greeting* greeting : std::exchange(question.greetings, {}))
    answer.is_usable ? greeting->secret_known(answer.rows == 1 ? answer.secret : std::nullopt)
                     : greeting->secret_unavailable();
  send_questions();
}

}  // namespace turnout::proxy
