#include "protocol/pg/state_calls.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string>

#include "protocol/pg/sql_lexer.h"

namespace turnout::protocol::pg {
namespace {

using Tokens = std::span<const Token>;

constexpr std::size_t tokens_max = 4096;  // of a statement that is proven; a longer one is not

std::vector<Token> tokens_of(std::string_view text) {
  std::vector<Token> tokens;
  SqlLexer lexer(text);
  for (Token token = lexer.next(); token.kind != TokenKind::end && tokens.size() < tokens_max; token = lexer.next())
    tokens.push_back(token);
  return tokens;
}

bool is_name(const Token& token, std::string_view name) {
  return (token.kind == TokenKind::word || token.kind == TokenKind::quoted) && token.name() == name;
}

// '…' or $tag$…$tag$; nothing for E'…', a literal in two pieces, and everything that is no literal.
std::optional<std::string> plain_literal(std::string_view text) {
  if (text.size() >= 2 && text.front() == '\'' && text.back() == '\'') {
    std::string value;
    for (std::size_t i = 1; i + 1 < text.size(); ++i) {
      if (text[i] == '\'' && text[++i] != '\'') return std::nullopt;
      value += text[i];
    }
    if (value.find('\\') != std::string::npos) return std::nullopt;  // means what standard_conforming_strings says
    return value;
  }
  const std::size_t tag = text.find('$', 1);
  if (text.size() < 4 || text.front() != '$' || tag == std::string_view::npos || text.size() < 2 * (tag + 1))
    return std::nullopt;
  return std::string(text.substr(tag + 1, text.size() - 2 * (tag + 1)));
}

// A literal, also with a cast behind it.
std::optional<std::string> literal(Tokens argument) {
  if (argument.empty() || argument.front().kind != TokenKind::literal) return std::nullopt;
  const bool is_cast = argument.size() == 4 && argument[1].is_symbol(':') && argument[2].is_symbol(':');
  if (argument.size() != 1 && !is_cast) return std::nullopt;
  return plain_literal(argument.front().text);
}

std::optional<bool> boolean(Tokens argument) {
  std::string text;
  if (argument.size() == 1 && argument.front().kind == TokenKind::word)
    text = argument.front().name();
  else if (const auto value = literal(argument))
    text = *value;
  text = lowered(text);
  const bool is_literal = !argument.empty() && argument.front().kind == TokenKind::literal;
  if (text == "true" || (is_literal && (text == "t" || text == "on" || text == "yes" || text == "1"))) return true;
  if (text == "false" || (is_literal && (text == "f" || text == "off" || text == "no" || text == "0"))) return false;
  return std::nullopt;
}

struct Call {
  std::array<Tokens, 3> arguments;
  std::size_t end = 0;  // behind the closing parenthesis
};

// tokens[open] is the parenthesis.
std::optional<Call> read_call(Tokens tokens, std::size_t open) {
  Call call;
  std::size_t depth = 0, argument = 0, begin = open + 1;
  for (std::size_t i = open; i < tokens.size(); ++i) {
    if (tokens[i].is_symbol('(')) ++depth;
    const bool is_end = tokens[i].is_symbol(')') && --depth == 0;
    if (!is_end && !(tokens[i].is_symbol(',') && depth == 1)) continue;
    if (argument == call.arguments.size()) return std::nullopt;
    call.arguments[argument++] = tokens.subspan(begin, i - begin);
    begin = i + 1;
    if (!is_end) continue;
    call.end = i + 1;
    return argument == call.arguments.size() ? std::optional(call) : std::nullopt;
  }
  return std::nullopt;
}

// SELECT set_config(…) [AS name] [, …]: what each does, or nothing where that is not proven.
std::optional<std::vector<Effect>> proven(Tokens tokens) {
  if (tokens.empty() || !tokens[0].is_word("select")) return std::nullopt;
  std::vector<Effect> effects;
  std::size_t i = 1;
  while (true) {
    if (i + 2 < tokens.size() && is_name(tokens[i], "pg_catalog") && tokens[i + 1].is_symbol('.')) i += 2;
    if (i + 1 >= tokens.size() || !is_name(tokens[i], "set_config") || !tokens[i + 1].is_symbol('('))
      return std::nullopt;
    const auto call = read_call(tokens, i + 1);
    if (!call) return std::nullopt;
    const auto name = literal(call->arguments[0]);
    const auto value = literal(call->arguments[1]);
    const auto is_local = boolean(call->arguments[2]);
    const bool is_null = call->arguments[1].size() == 1 && call->arguments[1].front().is_word("null");
    if (!is_local || !name || (!value && !is_null && !*is_local)) return std::nullopt;
    const std::string setting = lowered(*name);
    if (setting.starts_with("transaction_")) return std::nullopt;
    if (*is_local)
      effects.push_back({EffectKind::set_local, setting, ""});
    else if (is_null)
      effects.push_back({EffectKind::reset, setting, ""});
    else
      effects.push_back({EffectKind::set_string, setting, *value});
    i = call->end;
    if (i + 1 < tokens.size() && tokens[i].is_word("as")) i += 2;
    if (i == tokens.size()) return effects;
    if (!tokens[i].is_symbol(',')) return std::nullopt;
    ++i;
  }
}

}  // namespace

void add_set_config_effects(std::string_view statement, std::vector<Effect>& effects) {
  const std::vector<Token> tokens = tokens_of(statement);
  if (auto all = proven(tokens)) {
    for (Effect& effect : *all) effects.push_back(std::move(effect));
    return;
  }
  // Wherever else they stand: harmless if every one of them ends with its transaction.
  bool is_local = tokens.size() < tokens_max;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (!is_name(tokens[i], "set_config")) continue;
    const bool is_call = i + 1 < tokens.size() && tokens[i + 1].is_symbol('(');
    const auto call = is_call ? read_call(tokens, i + 1) : std::nullopt;
    is_local = is_local && call && boolean(call->arguments[2]).value_or(false);
  }
  effects.push_back({is_local ? EffectKind::set_local : EffectKind::set_config, is_local ? "" : "set_config", ""});
}

void add_block_effects(std::string_view statement, std::vector<Effect>& effects) {
  effects.push_back({EffectKind::unknown, "do", ""});
  bool sets = false, makes_temporary = false;
  for (const Token& outer : tokens_of(statement)) {
    if (outer.kind != TokenKind::literal) continue;
    const auto body = plain_literal(outer.text);
    if (!body) {
      sets = true;
      break;
    }
    Token previous{TokenKind::symbol, ";"};
    SqlLexer lexer(*body);
    for (Token token = lexer.next(); token.kind != TokenKind::end; previous = token, token = lexer.next()) {
      const bool is_at_start = previous.is_symbol(';') || previous.is_word("begin") || previous.is_word("then") ||
                               previous.is_word("else") || previous.is_word("loop");
      sets = sets || is_name(token, "set_config") || token.kind == TokenKind::unterminated;
      sets = sets || (is_at_start && (token.is_word("set") || token.is_word("listen") || token.is_word("load")));
      // A text that is put together: it may be a SET, a PREPARE, anything.
      sets = sets || (previous.is_word("execute") && lowered(token.text).find("set ") != std::string::npos);
      makes_temporary =
          makes_temporary || token.is_word("temp") || token.is_word("temporary") || is_name(token, "pg_temp");
      sets = sets || is_name(token, "pg_advisory_lock") || is_name(token, "pg_try_advisory_lock");
    }
  }
  if (sets) effects.push_back({EffectKind::set_config, "do", ""});
  if (makes_temporary) effects.push_back({EffectKind::temp_object, "do", ""});
}

}  // namespace turnout::protocol::pg
