// KILL and COM_PROCESS_KILL. Clients name the connections that they know, which are sessions here; what a session has
// running is killed on the server connection that runs it, by the rules of proxy/canceller.h. As for a user without
// privileges: one's own user's sessions only.
#include "protocol/mysql/reply.h"
#include "proxy/mysql/killer.h"
#include "proxy/mysql/session.h"
#include "proxy/worker.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

namespace {

// Source: MySQL and MariaDB "Server Error Message Reference"; measured on MariaDB 10.11.
my::Error error_of(KillOutcome outcome, const std::string& text) {
  switch (outcome) {
    case KillOutcome::foreign:
      return {1095, "HY000", text};
    case KillOutcome::limited:
      return {1226, "42000", text};
    case KillOutcome::unknown:
    case KillOutcome::done:
      break;
  }
  return {1094, "HY000", text};
}

std::string text_of(KillOutcome outcome, std::uint64_t connection) {
  if (outcome == KillOutcome::foreign) return "You are not owner of thread " + std::to_string(connection);
  if (outcome == KillOutcome::limited) return "Too many KILLs: limits.cancels or limits.cancels_per_second is reached";
  return "Unknown thread id: " + std::to_string(connection);
}

}  // namespace

// Later, in any case: whoever drops it may be in the midst of something.
KillTicket::~KillTicket() {
  if (shared.is_over) return;
  worker.loop.post([&its = worker, where = deployment, asker = session, said = outcome, named = connection] {
    if (Client* const found = its.shard(where).find_client(asker))
      static_cast<Session*>(found)->kill_answered(said, named);
  });
}

// ---- who asks ------------------------------------------------------------------------------------------------------

// Of an execution: the server has prepared it, but does not get to see the number, which is not one of its own.
std::optional<my::Kill> Session::prepared_kill(Bytes payload) {
  const auto found = prepared_.find(client_statement(payload));
  if (found == prepared_.end() || !found->second.words.kills) return std::nullopt;
  Prepared& prepared = found->second;
  auto kill = my::parse_kill(std::string_view(prepared.key).substr(prepared.sql_at));
  if (!kill || !kill->is_parameter) return kill;
  const auto execute = my::parse_execute(payload, prepared.parameters, capabilities_);
  if (!execute) return std::nullopt;
  if (execute->has_types) prepared.types = execute->types;
  const auto number = my::killed_by(payload, *execute, prepared.types);
  if (!number) return std::nullopt;
  kill->connection = *number;
  return kill;
}

std::size_t Session::take_kill(const Header& header, const my::Kill& kill) {
  begin_message(header, header.total(), false);
  const bool is_shown = kill.connection <= UINT32_MAX;
  const std::uint32_t number = is_shown ? session_number(static_cast<std::uint32_t>(kill.connection)) : 0;
  if (is_shown && number == number_) return kill_self(header, kill);
  const std::string host = address_.substr(0, address_.rfind(':'));
  const std::uint32_t per_second = conf().limits.cancels_per_second_max;
  awaits_kill_ = true;
  auto ticket = std::make_shared<KillTicket>(worker(), shard_.deployment.index, *shard_.deployment.of_mysql, number_,
                                             kill.connection);
  if (!shard_.deployment.may_cancel(host, worker().loop.now_us(), per_second)) {
    shard_.numbers.cancels_limited.add();
    ticket->outcome = KillOutcome::limited;
    return header.total();
  }
  const std::size_t at = Worker::worker_of(number);
  if (!is_shown || at >= worker().peers()) {
    shard_.numbers.cancels_unknown.add();
    return header.total();
  }
  Worker& peer = worker().peer(at);
  peer.loop.post([&peer, deployment = shard_.deployment.index, number, user = account_.shared.user,
                  is_query_only = kill.is_query_only, ticket = std::move(ticket)] {
    Shard& its_shard = peer.shard(deployment);
    if (Client* const found = its_shard.find_client(number))
      static_cast<Session*>(found)->killed(user, is_query_only, ticket);
    else
      its_shard.numbers.cancels_unknown.add();
  });
  return header.total();
}

std::size_t Session::kill_self(const Header& header, const my::Kill& kill) {
  std::string payload, reply;
  // MySQL says the same of both.
  const bool says_more = !kill.is_query_only && shard_.deployment.of_mysql->is_mariadb();
  const my::Error error = says_more ? my::Error{1927, "70100", "Connection was killed"}
                                    : my::Error{1317, "70100", "Query execution was interrupted"};
  left_behind_.told(error);
  my::put_error(payload, error);
  my::put_message(reply, 1, payload);
  send_to_client(reply);
  if (!kill.is_query_only) end("killed by itself");
  return header.total();
}

void Session::kill_answered(KillOutcome outcome, std::uint64_t connection) {
  if (state_ == State::ended || !std::exchange(awaits_kill_, false)) return;
  std::string payload, reply;
  if (outcome == KillOutcome::done) {
    my::Ok ok;
    ok.status = status_ & my::status::of_session;
    my::put_ok(payload, ok, capabilities_);
  } else {
    const std::string text = text_of(outcome, connection);
    left_behind_.told(error_of(outcome, text));
    my::put_error(payload, error_of(outcome, text));
  }
  my::put_message(reply, 1, payload);
  send_to_client(reply);
  if (state_ == State::ended) return;
  pause_client(false);
  run_input();
}

// ---- who is killed -------------------------------------------------------------------------------------------------

void Session::killed(const std::string& user, bool is_query_only, std::shared_ptr<KillTicket> ticket) {
  if (user != account_.shared.user) {
    ticket->outcome = KillOutcome::foreign;
    return;
  }
  ticket->outcome = KillOutcome::done;
  if (!is_query_only)
    end("killed by another session");  // what it has running is ended like that of a client that went away
  else
    interrupt(std::move(ticket));
}

void Session::interrupt(std::shared_ptr<KillTicket> ticket) {
  if (state_ == State::waiting || state_ == State::held) {
    shard_.numbers.cancels_answered.add();
    shard_.unhold(*this);
    if (state_ == State::waiting)
      for (const auto& side : account_.pools())
        for (const auto& pool : side) pool->forget(*this);
    refuse_unit({"57014", "Query execution was interrupted", {}});  // its own wish: no error of ours
  } else if (server_ == nullptr || server_->exchange.is_idle()) {
    shard_.numbers.cancels_idle.add();
  } else if (server_->exchange.is_ours_now()) {
    server_->cancel_waiting = std::move(ticket);  // what we have sent before its statement is not what is meant
  } else {
    kill_statement(ticket);
  }
}

void Session::kill_statement(const CancelTicket& ticket) {
  mark_ = {};
  ramped_ = false;  // what comes now is what its client asked for: no second run on the writer
  if (send_kill(shard_, *server_, ticket)) {
    shard_.numbers.cancels_sent.add();
    return;
  }
  shard_.numbers.cancels_limited.add();
  std::static_pointer_cast<KillTicket>(ticket)->outcome = KillOutcome::limited;
}

}  // namespace turnout::proxy::mysql
