// Private to the state watch: the commands whose first word alone says that they are about session or transaction
// state, and what one statement of that kind does.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "protocol/pg/sql_lexer.h"
#include "protocol/pg/state_watch.h"

namespace turnout::protocol::pg {

enum class Command : std::uint8_t {
  none,  // any other: touches state only by what its words say (set_config, INTO TEMP, …)
  abort,
  begin,
  call,
  commit,
  deallocate,
  declare,
  discard,
  do_block,
  end,
  listen,
  load,
  notify,
  prepare,
  release,
  reset,
  rollback,
  savepoint,
  set,
  start,
  unlisten,
};

// What `word` may be by its first eight letters: never none for a command of the list. For the quick look.
[[nodiscard]] Command guess_command(std::string_view word);
[[nodiscard]] Command command_of(std::string_view word);

// `tokens` are those of one statement, the command's word first, without the semicolon.
void add_command_effects(Command command, std::span<const Token> tokens, std::vector<Effect>& effects);

}  // namespace turnout::protocol::pg
