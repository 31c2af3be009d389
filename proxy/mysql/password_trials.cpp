#include "proxy/mysql/password_trials.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "proxy/mysql/greeting.h"
#include "proxy/worker.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

namespace {

constexpr std::uint64_t retry_ms = 200;
constexpr std::uint64_t tell_every_ms = 1'000;

// The server may be there later, or have room. Any other word of it is its answer.
bool is_soon_over(const LoginFailure& failure) {
  return failure.is_soon_over || (failure.raw_error.empty() && failure.sqlstate.starts_with("08"));
}

}  // namespace

PasswordTrials::~PasswordTrials() {
  for (const auto& trial : trials_)
    if (trial->dial_) give_back_turn(*trial, false);
}

void PasswordTrials::Trial::on_events(std::uint32_t) {
  if (!dial_) return;
  dial_->on_events();
  all_.look_at(*this);
}

void PasswordTrials::ask(Greeting& greeting, Wanted wanted) {
  if (is_proven(wanted)) {
    greeting.password_proven();
    return;
  }
  const auto same =
      std::find_if(trials_.begin(), trials_.end(), [&](const auto& trial) { return trial->wanted_.is_same(wanted); });
  if (same != trials_.end()) {
    (*same)->greetings_.push_back(&greeting);
    return;
  }
  trials_.push_back(std::make_unique<Trial>(*this, std::move(wanted)));
  trials_.back()->greetings_.push_back(&greeting);
  begin_if_may(*trials_.back());
}

void PasswordTrials::forget(const Greeting& greeting) {
  for (const auto& trial : trials_) std::erase(trial->greetings_, &greeting);
}

LoginFailure PasswordTrials::reason(const Greeting& greeting) const {
  const auto found = std::find_if(trials_.begin(), trials_.end(), [&](const auto& trial) {
    return std::find(trial->greetings_.begin(), trial->greetings_.end(), &greeting) != trial->greetings_.end();
  });
  if (found == trials_.end()) return {};
  const Trial& trial = **found;
  // What it is that cannot be reached is not for strangers.
  if (!trial.last_failure_.raw_error.empty()) return trial.last_failure_;
  const bool has_no_turn = !trial.dial_ && trial.last_failure_.sqlstate.empty();
  return {"57P03", has_no_turn ? "logins cannot be checked now: limits.unproven_logins is reached"
                               : "logins cannot be checked now: the database server does not answer"};
}

void PasswordTrials::tick() {
  const std::uint64_t now_ms = shard_.worker.loop.now_ms();
  const router::Side writer = shard_.table().writer;
  for (const auto& trial : trials_) {
    if (!trial->dial_) continue;
    if (trial->dial_->side() != writer) {
      give_back_turn(*trial, false);
      trial->retry_at_ms_ = now_ms;
    } else if (now_ms - trial->began_ms_ > shard_.settings->conf.pool.connect_ms_max) {
      interrupt(*trial, {"08001", "the server did not complete a login within pool.connect_timeout"});
    }
  }
  for (auto at = trials_.begin(); at != trials_.end();) {
    const bool is_forgotten = !(*at)->dial_ && (*at)->greetings_.empty();
    if (is_forgotten) shard_.worker.loop.bury(std::move(*at));
    at = is_forgotten ? trials_.erase(at) : std::next(at);
  }
  for (auto at = trials_.begin(); at != trials_.end();) {
    Trial& trial = **at++;  // it may end here, and no other one
    if (!trial.dial_) begin_if_may(trial);
  }
}

// ---- turns ---------------------------------------------------------------------------------------------------------

bool PasswordTrials::is_proven(const Wanted& wanted) const {
  const std::uint64_t now_ms = shard_.worker.loop.now_ms();
  const std::uint64_t believed_ms = shard_.settings->conf.auth_query.cache_ms;
  return shard_.deployment.of_mysql->learned.is_proven(wanted.user, wanted.password,
                                                       now_ms - std::min(now_ms, believed_ms));
}

void PasswordTrials::begin_if_may(Trial& trial) {
  const std::uint64_t now_ms = shard_.worker.loop.now_ms();
  const std::uint32_t turns_max = shard_.settings->conf.limits.unproven_logins_max;
  if (is_proven(trial.wanted_))  // by somebody else, meanwhile
    end(trial, nullptr);
  else if (now_ms >= trial.retry_at_ms_ &&
           shard_.deployment.of_mysql->turns.take(trial.wanted_.client_host, turns_max, now_ms))
    begin(trial);
}

void PasswordTrials::begin(Trial& trial) {
  trial.began_ms_ = shard_.worker.loop.now_ms();
  trial.dial_ = std::make_unique<ServerDial>(shard_, shard_.table().writer, trial);
  my::ServerLogin::Input input = login_input(trial.wanted_.user, trial.wanted_.database, trial.wanted_.dialect);
  input.secret = {my::Secret::Kind::plain, trial.wanted_.password};
  trial.dial_->begin(std::move(input));
  look_at(trial);
}

void PasswordTrials::give_back_turn(Trial& trial, bool was_refused) {
  trial.dial_.reset();
  shard_.deployment.of_mysql->turns.give(trial.wanted_.client_host, was_refused, shard_.worker.loop.now_ms());
}

// ---- answers -------------------------------------------------------------------------------------------------------

void PasswordTrials::look_at(Trial& trial) {
  switch (trial.dial_->state()) {
    case ServerDial::State::connecting:
    case ServerDial::State::asking_tls:
    case ServerDial::State::handshaking:
    case ServerDial::State::logging_in:
      return;
    case ServerDial::State::done:
      proven(trial);
      return;
    case ServerDial::State::failed:
      failed(trial, LoginFailure(trial.dial_->failure()));
      return;
  }
}

void PasswordTrials::proven(Trial& trial) {
  shard_.numbers.server_logins.add();
  const Wanted& wanted = trial.wanted_;
  const bool is_writers = trial.dial_->side() == shard_.table().writer;  // and no other one's by now
  if (is_writers) {
    shard_.deployment.of_mysql->learned.prove(wanted.user, wanted.password, shard_.worker.loop.now_ms(),
                                              shard_.settings->conf.auth_query.cache_users_max);
    if (!trial.greetings_.empty()) use(trial);
  }
  trial.dial_->say_goodbye();
  give_back_turn(trial, false);
  if (is_writers) end(trial, nullptr);
}

// The first connection of its pool, which the client would wait for next.
void PasswordTrials::use(Trial& trial) {
  const Wanted& wanted = trial.wanted_;
  Account& account = shard_.account(shard_.deployment.account(wanted.database, wanted.user, wanted.dialect));
  Pool& pool = account.pool(trial.dial_->side(), router::Access::write);
  Connection* const connection = pool.connections().empty() ? pool.add_one_if_allowed() : nullptr;
  if (connection != nullptr) of_mysql(*connection).go_on(trial.dial_->take());
}

void PasswordTrials::failed(Trial& trial, const LoginFailure& failure) {
  shard_.numbers.server_login_failures.add();
  if (is_soon_over(failure)) {
    interrupt(trial, failure);
    return;
  }
  LearnedSecrets& learned = shard_.deployment.of_mysql->learned;
  if (learned.is_proven(trial.wanted_.user, trial.wanted_.password, 0))
    learned.refused(trial.wanted_.user, failure, trial.began_ms_);
  give_back_turn(trial, true);
  end(trial, &failure);
}

void PasswordTrials::interrupt(Trial& trial, const LoginFailure& failure) {
  const std::uint64_t now_ms = shard_.worker.loop.now_ms();
  trial.last_failure_ = failure;
  trial.retry_at_ms_ = now_ms + retry_ms;
  give_back_turn(trial, false);
  if (now_ms - told_ms_ < tell_every_ms) return;
  told_ms_ = now_ms;
  spdlog::warn("passthrough of {}: {}", shard_.deployment.name, failure.message);
}

void PasswordTrials::end(Trial& trial, const LoginFailure* failure) {
  const auto at =
      std::find_if(trials_.begin(), trials_.end(), [&](const auto& owned) { return owned.get() == &trial; });
  const std::vector<Greeting*> greetings = std::exchange(trial.greetings_, {});
  shard_.worker.loop.bury(std::move(*at));
  trials_.erase(at);
  for (Greeting* greeting : greetings)
    failure == nullptr ? greeting->password_proven() : greeting->password_refused(*failure);
  shard_.worker.loop.tick_soon();  // for those who wait for a turn
}

}  // namespace turnout::proxy::mysql
