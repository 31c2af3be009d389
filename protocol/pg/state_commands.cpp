#include "protocol/pg/state_commands.h"

#include <algorithm>
#include <utility>

namespace turnout::protocol::pg {
namespace {

constexpr std::uint64_t key_of(std::string_view word) {
  std::uint64_t key = 0;
  for (std::size_t i = 0; i < std::min<std::size_t>(word.size(), 8); ++i) {
    key = (key << 8U) | (static_cast<std::uint8_t>(word[i]) | 0x20U);  // letters to lower case, nothing else matters
  }
  return key;
}

struct Named {
  Command command;
  std::string_view word;
};

Named named(std::string_view word) {
  switch (key_of(word)) {
    case key_of("abort"):
      return {Command::abort, "abort"};
    case key_of("begin"):
      return {Command::begin, "begin"};
    case key_of("call"):
      return {Command::call, "call"};
    case key_of("commit"):
      return {Command::commit, "commit"};
    case key_of("deallocate"):
      return {Command::deallocate, "deallocate"};
    case key_of("declare"):
      return {Command::declare, "declare"};
    case key_of("discard"):
      return {Command::discard, "discard"};
    case key_of("do"):
      return {Command::do_block, "do"};
    case key_of("end"):
      return {Command::end, "end"};
    case key_of("listen"):
      return {Command::listen, "listen"};
    case key_of("load"):
      return {Command::load, "load"};
    case key_of("notify"):
      return {Command::notify, "notify"};
    case key_of("prepare"):
      return {Command::prepare, "prepare"};
    case key_of("release"):
      return {Command::release, "release"};
    case key_of("reset"):
      return {Command::reset, "reset"};
    case key_of("rollback"):
      return {Command::rollback, "rollback"};
    case key_of("savepoint"):
      return {Command::savepoint, "savepoint"};
    case key_of("set"):
      return {Command::set, "set"};
    case key_of("start"):
      return {Command::start, "start"};
    case key_of("unlisten"):
      return {Command::unlisten, "unlisten"};
    default:
      return {Command::none, {}};
  }
}

using Tokens = std::span<const Token>;

bool has_word(Tokens tokens, std::size_t index, std::string_view lower) {
  return index < tokens.size() && tokens[index].is_word(lower);
}

// From the first token to the last, as written.
std::string as_written(Tokens tokens) {
  if (tokens.empty()) return {};
  const char* const begin = tokens.front().text.data();
  const std::string_view last = tokens.back().text;
  return {begin, last.data() + last.size()};
}

std::string lower_name(const Token& token) {
  std::string name = token.name();
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return name;
}

// The last READ ONLY or READ WRITE counts, as in the server.
std::string access_mode(Tokens tokens) {
  std::string mode;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    if (!tokens[i].is_word("read")) continue;
    if (tokens[i + 1].is_word("only")) mode = "read only";
    if (tokens[i + 1].is_word("write")) mode = "read write";
  }
  return mode;
}

// The words behind ISOLATION LEVEL, as the setting's value; "" where the grammar has none.
std::string isolation_level(Tokens tokens) {
  std::string level;
  for (std::size_t i = 0; i + 2 < tokens.size(); ++i) {
    if (!tokens[i].is_word("isolation") || !tokens[i + 1].is_word("level")) continue;
    const auto follows = [&](std::size_t n, std::string_view word) {
      return i + n < tokens.size() && tokens[i + n].is_word(word);
    };
    if (follows(2, "serializable")) level = "'serializable'";
    if (follows(2, "repeatable") && follows(3, "read")) level = "'repeatable read'";
    if (follows(2, "read") && follows(3, "committed")) level = "'read committed'";
    if (follows(2, "read") && follows(3, "uncommitted")) level = "'read uncommitted'";
  }
  return level;
}

// The modes of a session's transactions are settings, like any other; only the access mode is not the session's alone.
void add_characteristics(Tokens tokens, std::string text, std::vector<Effect>& effects) {
  const std::size_t before = effects.size();
  if (std::string level = isolation_level(tokens); !level.empty())
    effects.push_back({EffectKind::set, "default_transaction_isolation", std::move(level)});
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    if (!tokens[i].is_word("deferrable")) continue;
    effects.push_back({EffectKind::set, "default_transaction_deferrable", tokens[i - 1].is_word("not") ? "off" : "on"});
  }
  std::string mode = access_mode(tokens);
  if (!mode.empty() || effects.size() == before)
    effects.push_back({EffectKind::set_characteristics, std::move(mode), std::move(text)});
}

// SET transaction_read_only = …; what is not plainly true may write.
std::string access_mode_of_value(Tokens value) {
  if (value.size() != 1) return "read write";
  std::string_view text = value.front().text;
  if (text.size() >= 2 && text.front() == '\'') text = text.substr(1, text.size() - 2);
  for (const std::string_view yes : {"on", "true", "tru", "tr", "t", "yes", "ye", "y", "1"}) {
    if (is_equal_ignoring_case(text, yes)) return "read only";
  }
  return "read write";
}

bool is_role_setting(std::string_view name) {
  return name == "role" || name == "session_authorization";
}

// An assignment in whatever spelling it came.
struct Assignment {
  std::string name;
  Tokens value;
  bool is_default = false;  // back to what it was at the session's start
};

void add_assignment(Assignment assignment, bool is_local, std::vector<Effect>& effects) {
  auto& [name, value, is_default] = assignment;
  if (name == "transaction_read_only") {
    const std::string mode = is_default ? "" : access_mode_of_value(value);
    effects.push_back({EffectKind::set_transaction, mode, as_written(value)});
  } else if (name == "transaction_isolation" || name == "transaction_deferrable") {
    effects.push_back({EffectKind::set_transaction, "", as_written(value)});
  } else if (is_local) {
    effects.push_back({EffectKind::set_local, std::move(name), as_written(value)});
  } else if (is_role_setting(name)) {
    effects.push_back({EffectKind::set_role, std::move(name), is_default ? "" : as_written(value)});
  } else if (is_default) {
    effects.push_back({EffectKind::reset, std::move(name), ""});
  } else {
    effects.push_back({EffectKind::set, std::move(name), as_written(value)});
  }
}

bool is_identifier(const Token& token) {
  return token.kind == TokenKind::word || token.kind == TokenKind::quoted;
}

// name[.name…] at the front; the rest of the tokens stays in `tokens`. Empty: it does not begin with a name.
std::string take_setting_name(Tokens& tokens) {
  std::string name;
  while (!tokens.empty() && is_identifier(tokens.front())) {
    name += lower_name(tokens.front());
    tokens = tokens.subspan(1);
    if (tokens.size() < 2 || !tokens.front().is_symbol('.')) break;
    name += '.';
    tokens = tokens.subspan(1);
  }
  return name;
}

// A key word of SET is one only if it is not itself the name of a setting: SET session.user_id = 5 has no key word.
bool is_key_word(Tokens tokens, std::string_view lower) {
  if (!has_word(tokens, 0, lower)) return false;
  return tokens.size() < 2 || !(tokens[1].is_symbol('.') || tokens[1].is_symbol('=') || tokens[1].is_word("to"));
}

bool is_default_value(Tokens value) {
  return value.size() == 1 && value.front().is_word("default");
}

// The spellings that have no "=": SET TIME ZONE, NAMES, SCHEMA, ROLE, SESSION AUTHORIZATION, XML OPTION.
bool take_special(Tokens tokens, Assignment& found) {
  if (is_key_word(tokens, "time") && has_word(tokens, 1, "zone")) {
    found = {"timezone", tokens.subspan(2), has_word(tokens, 2, "local")};
  } else if (is_key_word(tokens, "names")) {
    found = {"client_encoding", tokens.subspan(1), tokens.size() == 1};
  } else if (is_key_word(tokens, "schema")) {
    found = {"search_path", tokens.subspan(1)};
  } else if (is_key_word(tokens, "role")) {
    found = {"role", tokens.subspan(1)};
  } else if (is_key_word(tokens, "session") && has_word(tokens, 1, "authorization")) {
    found = {"session_authorization", tokens.subspan(2)};
  } else if (is_key_word(tokens, "xml") && has_word(tokens, 1, "option")) {
    found = {"xmloption", tokens.subspan(2)};
  } else {
    return false;
  }
  found.is_default = found.is_default || is_default_value(found.value);
  return true;
}

void add_set(Tokens tokens, std::vector<Effect>& effects) {
  const Tokens all = tokens;
  tokens = tokens.subspan(1);
  bool is_local = false;
  const bool is_session_word = is_key_word(tokens, "session") && !has_word(tokens, 1, "characteristics") &&
                               !has_word(tokens, 1, "authorization");
  if (is_key_word(tokens, "local")) {
    is_local = true;
    tokens = tokens.subspan(1);
  } else if (is_session_word) {
    tokens = tokens.subspan(1);
  }

  if (is_key_word(tokens, "constraints")) return;  // until the transaction ends; goes with it
  if (is_key_word(tokens, "transaction")) {
    effects.push_back({EffectKind::set_transaction, access_mode(tokens), as_written(all)});
    return;
  }
  if (is_key_word(tokens, "session") && has_word(tokens, 1, "characteristics")) {
    // With LOCAL it would last for the transaction only: nobody writes that, so nobody has to follow it.
    if (is_local) effects.push_back({EffectKind::unknown, "set local session characteristics", as_written(all)});
    add_characteristics(tokens, as_written(all), effects);
    return;
  }
  Assignment assignment;
  if (take_special(tokens, assignment)) {
    // SET TIME ZONE INTERVAL '…' HOUR TO MINUTE has no twin with "=" that could be replayed.
    if (has_word(assignment.value, 0, "interval")) {
      effects.push_back({EffectKind::unknown, std::move(assignment.name), as_written(all)});
    } else {
      add_assignment(std::move(assignment), is_local, effects);
    }
    return;
  }
  assignment.name = take_setting_name(tokens);
  const bool has_value = tokens.size() >= 2 && (tokens[0].is_symbol('=') || tokens[0].is_word("to"));
  if (assignment.name.empty() || !has_value) {
    effects.push_back({EffectKind::unknown, "set", as_written(all)});
    return;
  }
  assignment.value = tokens.subspan(1);
  assignment.is_default = is_default_value(assignment.value);
  add_assignment(std::move(assignment), is_local, effects);
}

void add_reset(Tokens tokens, std::vector<Effect>& effects) {
  const Tokens all = tokens;
  tokens = tokens.subspan(1);
  if (tokens.size() == 1 && tokens.front().is_word("all")) {
    effects.push_back({EffectKind::reset_all, "", ""});
    return;
  }
  Assignment assignment;
  if (is_key_word(tokens, "time") && has_word(tokens, 1, "zone")) {
    assignment.name = "timezone";
  } else if (is_key_word(tokens, "session") && has_word(tokens, 1, "authorization")) {
    assignment.name = "session_authorization";
  } else if (is_key_word(tokens, "transaction") && has_word(tokens, 1, "isolation")) {
    assignment.name = "transaction_isolation";
  } else {
    assignment.name = take_setting_name(tokens);
  }
  if (assignment.name.empty()) {
    effects.push_back({EffectKind::unknown, "reset", as_written(all)});
    return;
  }
  assignment.is_default = true;
  add_assignment(std::move(assignment), false, effects);
}

// COMMIT, END, ROLLBACK, ABORT with WORK | TRANSACTION, AND [NO] CHAIN, TO [SAVEPOINT], PREPARED.
void add_end(Tokens tokens, std::vector<Effect>& effects) {
  if (has_word(tokens, 1, "prepared")) {
    effects.push_back({EffectKind::finish_prepared, "", as_written(tokens.subspan(2))});
    return;
  }
  std::size_t i = has_word(tokens, 1, "work") || has_word(tokens, 1, "transaction") ? 2 : 1;
  if (tokens.front().is_word("rollback") && has_word(tokens, i, "to")) {
    i += has_word(tokens, i + 1, "savepoint") && i + 2 < tokens.size() ? 2U : 1U;
    effects.push_back({EffectKind::savepoint, i < tokens.size() ? tokens[i].name() : "", "rollback to"});
    return;
  }
  const bool is_chain = has_word(tokens, i, "and") && has_word(tokens, i + 1, "chain");
  effects.push_back({EffectKind::end, is_chain ? "chain" : "", as_written(tokens)});
}

void add_release(Tokens tokens, std::vector<Effect>& effects) {
  const std::size_t i = has_word(tokens, 1, "savepoint") && tokens.size() > 2 ? 2 : 1;
  effects.push_back({EffectKind::savepoint, i < tokens.size() ? tokens[i].name() : "", "release"});
}

void add_prepare(Tokens tokens, std::vector<Effect>& effects) {
  const bool is_two_phase =
      has_word(tokens, 1, "transaction") && tokens.size() > 2 && tokens[2].kind == TokenKind::literal;
  if (is_two_phase) {
    effects.push_back({EffectKind::prepare_transaction, "", as_written(tokens.subspan(2))});
  } else {
    effects.push_back({EffectKind::prepare, tokens.size() > 1 ? tokens[1].name() : "", as_written(tokens)});
  }
}

void add_deallocate(Tokens tokens, std::vector<Effect>& effects) {
  const std::size_t i = has_word(tokens, 1, "prepare") && tokens.size() > 2 ? 2 : 1;
  if (has_word(tokens, i, "all")) {
    effects.push_back({EffectKind::deallocate_all, "", ""});
  } else {
    effects.push_back({EffectKind::deallocate, i < tokens.size() ? tokens[i].name() : "", ""});
  }
}

void add_declare(Tokens tokens, std::vector<Effect>& effects) {
  for (std::size_t i = 1; i + 1 < tokens.size(); ++i) {
    if (!tokens[i].is_word("with") || !tokens[i + 1].is_word("hold")) continue;
    effects.push_back({EffectKind::hold_cursor, tokens[1].name(), ""});
    return;
  }
}

void add_unlisten(Tokens tokens, std::vector<Effect>& effects) {
  if (tokens.size() > 1 && tokens[1].is_symbol('*')) {
    effects.push_back({EffectKind::unlisten_all, "", ""});
  } else {
    effects.push_back({EffectKind::unlisten, tokens.size() > 1 ? tokens[1].name() : "", ""});
  }
}

}  // namespace

Command guess_command(std::string_view word) {
  return named(word).command;
}

Command command_of(std::string_view word) {
  const Named guess = named(word);
  return is_equal_ignoring_case(word, guess.word) ? guess.command : Command::none;
}

void add_command_effects(Command command, std::span<const Token> tokens, std::vector<Effect>& effects) {
  const auto second_name = [tokens] { return tokens.size() > 1 ? tokens[1].name() : std::string{}; };
  switch (command) {
    case Command::none:
      return;
    case Command::begin:
    case Command::start:
      effects.push_back({EffectKind::begin, access_mode(tokens), as_written(tokens)});
      return;
    case Command::abort:
    case Command::commit:
    case Command::end:
    case Command::rollback:
      return add_end(tokens, effects);
    case Command::savepoint:
      effects.push_back({EffectKind::savepoint, second_name(), "savepoint"});
      return;
    case Command::release:
      return add_release(tokens, effects);
    case Command::set:
      return add_set(tokens, effects);
    case Command::reset:
      return add_reset(tokens, effects);
    case Command::prepare:
      return add_prepare(tokens, effects);
    case Command::deallocate:
      return add_deallocate(tokens, effects);
    case Command::declare:
      return add_declare(tokens, effects);
    case Command::listen:
      effects.push_back({EffectKind::listen, second_name(), ""});
      return;
    case Command::unlisten:
      return add_unlisten(tokens, effects);
    case Command::load:
      effects.push_back({EffectKind::load, "", as_written(tokens.subspan(1))});
      return;
    case Command::notify:
      effects.push_back({EffectKind::notify, second_name(), ""});
      return;
    case Command::discard:
      effects.push_back(tokens.size() > 1 && tokens[1].is_word("all")
                            ? Effect{EffectKind::discard_all, "", ""}
                            : Effect{EffectKind::discard_other, second_name(), ""});
      return;
    case Command::call:
      effects.push_back({EffectKind::unknown, "call", ""});
      return;
    case Command::do_block:
      return;  // state_calls.h
  }
}

}  // namespace turnout::protocol::pg
