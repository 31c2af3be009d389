// Any bytes as each message of the MySQL protocol: nothing is read beyond them, and what was read can be written again.
#include "fuzz.h"
#include "protocol/mysql/command.h"
#include "protocol/mysql/greeting.h"
#include "protocol/mysql/login.h"
#include "protocol/mysql/reply.h"
#include "protocol/mysql/session_changes.h"

namespace turnout::fuzz {
namespace {

using namespace protocol::mysql;
using protocol::bytes_of;

void run_replies(Bytes input, Capabilities capabilities) {
  if (const auto ok = parse_ok(input, capabilities)) {
    must(ok->info.size() + ok->changes.size() <= input.size(), "views are of the payload");
    std::string again;
    put_ok(again, *ok, capabilities);
    const auto twice = parse_ok(bytes_of(again), capabilities);
    must(twice && twice->affected_rows == ok->affected_rows && twice->warnings == ok->warnings,
         "an OK is written again");
    std::size_t told = 0;
    SessionChanges list(bytes_of(ok->changes));
    while (const auto change = list.next()) {
      told += change->name.size() + change->value.size();
      static_cast<void>(parse_transaction_state(change->value));
    }
    must(told <= ok->changes.size(), "changes are views, each once");
  }
  const Error error = parse_error(input);
  must(error.sqlstate.empty() || error.sqlstate.size() == 5, "a state has five characters");
  static_cast<void>(parse_eof(input));
}

void run_commands(Bytes input, Capabilities capabilities) {
  if (const auto query = parse_query(input, capabilities)) {
    must(query->sql_at <= input.size() && query->sql.size() == input.size() - query->sql_at, "the text is the rest");
  }
  for (const unsigned count : {0U, 1U, 9U}) {
    const auto parameters = static_cast<std::uint16_t>(count);
    const auto execute = parse_execute(input, parameters, capabilities);
    if (!execute) continue;
    must(execute->values_at <= input.size() && execute->types.size() <= input.size(), "offsets are inside");
    if (execute->has_types) {
      must(with_types(text(input), *execute, execute->types) == text(input), "the same types change nothing");
    }
  }
  static_cast<void>(parse_fetch(input));
  static_cast<void>(parse_long_data(input));
  static_cast<void>(parse_field_list(input));
}

void run_logins(Bytes input, Capabilities capabilities) {
  if (const auto greeting = parse_greeting(input)) {
    must(greeting->nonce.size() <= 255, "a nonce has its bound");
  }
  if (const auto response = parse_handshake_response(input); response && !response->asks_for_tls) {
    std::string again;
    put_handshake_response(again, *response);
    must(response->user.size() + response->auth.size() <= input.size(), "fields come from the payload");
  }
  static_cast<void>(parse_change_user(input, capabilities));
  static_cast<void>(parse_auth_switch(input));
  const Users users = parse_users(text(input));
  must(users.mistakes.size() <= 51, "mistakes have their bound");
}

void run(Bytes input) {
  constexpr Capabilities kinds[] = {0, always | capability::session_track | capability::connect_attributes,
                                    always | capability::session_track | capability::query_attributes};
  const Capabilities capabilities = kinds[take_byte(input) % 3];
  run_replies(input, capabilities);
  run_commands(input, capabilities);
  run_logins(input, capabilities);
}

}  // namespace
}  // namespace turnout::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  turnout::fuzz::run({data, size});
  return 0;
}
