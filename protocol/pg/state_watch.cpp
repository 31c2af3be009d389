#include "protocol/pg/state_watch.h"

#include <array>
#include <cstring>
#include <optional>

#include "protocol/pg/sql_lexer.h"
#include "protocol/pg/state_calls.h"
#include "protocol/pg/state_commands.h"

namespace turnout::protocol::pg {
namespace {

// ---- the full answer -----------------------------------------------------------------------------------------------

// What the mention of a function (or of the temporary schema) means, wherever it stands.
std::optional<EffectKind> effect_of_name(const std::string& name) {
  struct Row {
    std::string_view prefix;
    EffectKind kind;
  };
  // Whoever adds a row adds its three letters to Suspicion below; the fuzz target state_watch finds it if not.
  constexpr std::array rows{
      Row{"set_config", EffectKind::set_config},
      Row{"pg_temp", EffectKind::temp_object},
      Row{"pg_advisory_unlock", EffectKind::advisory_unlock},
      Row{"pg_advisory_lock", EffectKind::advisory_lock},
      Row{"pg_try_advisory_lock", EffectKind::advisory_lock},
      Row{"pg_notify", EffectKind::notify},
      // State of the session that nobody follows: the random seed, connections, temporary slots, SQL in a string.
      Row{"setseed", EffectKind::unknown},
      Row{"dblink_connect", EffectKind::unknown},
      Row{"query_to_xml", EffectKind::unknown},
      Row{"pg_replication_origin_session", EffectKind::unknown},
      Row{"pg_create_logical_replication_slot", EffectKind::unknown},
      Row{"pg_create_physical_replication_slot", EffectKind::unknown},
      Row{"pg_copy_logical_replication_slot", EffectKind::unknown},
      Row{"pg_copy_physical_replication_slot", EffectKind::unknown},
  };
  for (const Row& row : rows) {
    if (name.starts_with(row.prefix)) return row.kind;
  }
  return std::nullopt;
}

// Few words get as far as being copied into a name.
bool can_be_special_name(const Token& token) {
  const bool is_quoted = token.kind == TokenKind::quoted;
  if (!is_quoted && token.kind != TokenKind::word) return false;
  const std::string_view text = is_quoted ? token.text.substr(1) : token.text;
  if (text.size() < 7) return false;
  const char first = static_cast<char>(static_cast<std::uint8_t>(text.front()) | 0x20U);
  return first == 's' || first == 'p' || first == 'd' || first == 'q';
}

class Watcher {
 public:
  explicit Watcher(std::string_view sql) : lexer_(sql) {}

  Watch run() {
    for (Token token = lexer_.next(); token.kind != TokenKind::end; token = lexer_.next()) {
      if (token.kind == TokenKind::unterminated) {
        add_unknown("unterminated literal or comment");
        break;
      }
      if (token.is_symbol(';') && paren_depth_ == 0 && !in_body_) {
        end_statement();
      } else {
        on_token(token);
      }
    }
    end_statement();
    return std::move(watch_);
  }

 private:
  void on_token(const Token& token) {
    if (is_at_start_) begin_statement(token);
    if (is_before_first_word_ && !token.is_symbol('(')) {
      is_before_first_word_ = false;
      if (token.kind == TokenKind::word) {
        command_ = command_of(token.text);
        is_create_ = token.is_word("create");
      }
    }
    if (command_ != Command::none) tokens_.push_back(token);
    end_ = token.text.data() + token.text.size();
    if (token.kind == TokenKind::symbol) count_parenthesis(token.text.front());
    if (token.kind == TokenKind::unicode_quoted) add_unknown("identifier with unicode escapes");
    if (token.kind == TokenKind::word) on_word(token);
    if (can_be_special_name(token)) {
      std::string name = token.name();
      const auto kind = effect_of_name(name);
      if (kind == EffectKind::set_config)
        has_set_config_ = true;
      else if (kind)
        watch_.effects.push_back({*kind, std::move(name), ""});
    }
    before_previous_ = previous_;
    previous_ = token;
  }

  void on_word(const Token& word) {
    if (is_create_) follow_body(word);
    if (!word.is_word("temp") && !word.is_word("temporary")) return;
    // CREATE [OR REPLACE] [LOCAL | GLOBAL] TEMP, SELECT … INTO TEMP; but INSERT INTO temp is a table of that name.
    const bool is_insert = before_previous_.is_word("insert") || before_previous_.is_word("merge");
    const bool is_temp = previous_.is_word("create") || previous_.is_word("replace") || previous_.is_word("local") ||
                         previous_.is_word("global") || (previous_.is_word("into") && !is_insert);
    if (is_temp) watch_.effects.push_back({EffectKind::temp_object, "", ""});
  }

  // CREATE FUNCTION … BEGIN ATOMIC …; …; END: these semicolons end no statement. CASE and END are reserved words, so
  // they nest; after AS or a dot they are labels.
  void follow_body(const Token& word) {
    if (!in_body_) {
      in_body_ = word.is_word("atomic") && previous_.is_word("begin");
      case_depth_ = 0;
      return;
    }
    if (previous_.is_word("as") || previous_.is_symbol('.')) return;
    if (word.is_word("case")) ++case_depth_;
    if (word.is_word("end") && case_depth_-- == 0) in_body_ = false;
  }

  void count_parenthesis(char c) {
    if (c == '(') ++paren_depth_;
    if (c == ')' && paren_depth_ > 0) --paren_depth_;
  }

  void begin_statement(const Token& first) {
    begin_ = first.text.data();
    first_effect_ = watch_.effects.size();
    is_at_start_ = false;
    is_before_first_word_ = true;
    ++watch_.statements;
  }

  void end_statement() {
    if (is_at_start_) return;
    const std::string_view text(begin_, static_cast<std::size_t>(end_ - begin_));
    if (has_set_config_) add_set_config_effects(text, watch_.effects);
    if (command_ == Command::do_block)
      add_block_effects(text, watch_.effects);
    else
      add_command_effects(command_, tokens_, watch_.effects);
    for (std::size_t i = first_effect_; i < watch_.effects.size(); ++i)
      watch_.effects[i].statement = watch_.statements - 1;
    has_set_config_ = false;
    command_ = Command::none;
    tokens_.clear();
    is_at_start_ = true;
    is_create_ = in_body_ = false;
    paren_depth_ = 0;
    previous_ = before_previous_ = Token{};
  }

  void add_unknown(std::string why) { watch_.effects.push_back({EffectKind::unknown, std::move(why), ""}); }

  SqlLexer lexer_;
  Watch watch_;
  std::vector<Token> tokens_;  // of the present statement, if it is a command of the list
  Command command_ = Command::none;
  const char* begin_ = nullptr;  // of the present statement
  const char* end_ = nullptr;
  std::size_t first_effect_ = 0;
  bool has_set_config_ = false;
  bool is_at_start_ = true;
  bool is_before_first_word_ = true;
  bool is_create_ = false;
  bool in_body_ = false;
  std::size_t case_depth_ = 0;
  std::size_t paren_depth_ = 0;
  Token previous_, before_previous_;
};

// ---- the quick look ------------------------------------------------------------------------------------------------

// Sixteen bytes of text at a time against everything that could begin an effect, as bit masks of the compiler's own
// vectors (SSE2, NEON, or plain code elsewhere). It does not know strings from words, so it only ever says "maybe" too
// often: then the lexer looks.
using Block = std::uint8_t __attribute__((vector_size(16)));
using Mask = signed char __attribute__((vector_size(16)));

Mask is_equal(Block block, char c) {
  return block == (Block{} + static_cast<std::uint8_t>(c));
}

Block load(const char* at) {
  Block block;
  std::memcpy(&block, at, sizeof block);
  return block;
}

bool is_any(Mask mask) {
  std::array<std::uint64_t, 2> halves{};
  std::memcpy(halves.data(), &mask, sizeof mask);
  return (halves[0] | halves[1]) != 0;
}

bool is_odd(Mask mask) {
  std::array<std::uint64_t, 2> halves{};
  std::memcpy(halves.data(), &mask, sizeof mask);
  return (static_cast<unsigned>(__builtin_popcountll((halves[0] ^ halves[1]) & 0x0101010101010101U)) & 1U) != 0;
}

struct Suspicion {
  Mask maybe{};
  Mask any_single{}, any_double{};  // quotes seen
  Mask odd_single{}, odd_double{};  // their number, modulo two, in each lane

  // Reads 18 bytes.
  void look(const char* at) {
    const Block here = load(at);
    const Block next = load(at + 1);
    const Block lower_case = Block{} + std::uint8_t{0x20};
    const Block a = here | lower_case;
    const Block b = next | lower_case;
    const Block c = load(at + 2) | lower_case;
    const Mask single = is_equal(here, '\'');
    const Mask quote = is_equal(here, '"');
    any_single |= single;
    any_double |= quote;
    odd_single ^= single;
    odd_double ^= quote;
    const Mask is_digit = (next - static_cast<std::uint8_t>('0')) < (Block{} + std::uint8_t{10});
    // Escapes, dollar quotes ($1 is none), comments, U&"…".
    maybe |= is_equal(here, '\\') | (is_equal(here, '$') & ~is_digit);
    maybe |= is_equal(here, '-') & is_equal(next, '-');
    maybe |= is_equal(here, '/') & is_equal(next, '*');
    maybe |= is_equal(here, '&') & is_equal(next, '"');
    // tEMPorary, pg_tEMP · aDVIsory · seTSEed · seT_Config, dblinK_Connect · replicatioN_Slot, origiN_Session · tO_Xml
    // · pG_Notify
    maybe |= is_equal(a, 'e') & is_equal(b, 'm') & is_equal(c, 'p');
    maybe |= is_equal(a, 'd') & is_equal(b, 'v') & is_equal(c, 'i');
    maybe |= is_equal(a, 't') & is_equal(b, 's') & is_equal(c, 'e');
    const Mask pair = ((is_equal(a, 't') | is_equal(a, 'k')) & is_equal(c, 'c')) |
                      (is_equal(a, 'n') & is_equal(c, 's')) | (is_equal(a, 'o') & is_equal(c, 'x')) |
                      (is_equal(a, 'g') & is_equal(c, 'n'));
    maybe |= is_equal(next, '_') & pair;
  }

  // Literals all end if the quotes of the one kind that occurs are even in number; with both kinds one may hide the
  // other.
  [[nodiscard]] bool is_clear() const {
    return !is_any(maybe) && !is_odd(odd_single) && !is_odd(odd_double) && !(is_any(any_single) && is_any(any_double));
  }
};

bool is_suspicious(std::string_view sql) {
  Suspicion suspicion;
  std::size_t i = 0;
  for (; i + 18 <= sql.size(); i += 16) suspicion.look(sql.data() + i);
  // The last bytes once more from a buffer that is long enough.
  std::array<char, 48> tail{};
  std::memcpy(tail.data(), sql.data() + i, sql.size() - i);
  suspicion.look(tail.data());
  if (sql.size() - i > 16) suspicion.look(tail.data() + 16);
  return !suspicion.is_clear();
}

bool is_letter(char c) {
  const auto lower = static_cast<std::uint8_t>(static_cast<std::uint8_t>(c) | 0x20U);
  return lower >= 'a' && lower <= 'z';
}

// The most frequent first word, and none of the commands; nor is a longer word that begins so.
bool begins_with_select(std::string_view sql) {
  std::uint64_t word = 0;
  if (sql.size() < sizeof word) return false;
  std::memcpy(&word, sql.data(), sizeof word);
  constexpr std::uint64_t lower_case = 0x202020202020;
  std::uint64_t select = 0;
  std::memcpy(&select, "select", 6);
  return ((word | lower_case) & 0xffffffffffff) == select;
}

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

}  // namespace

Watch watch_state(std::string_view sql) {
  if (sql.size() > watch_bytes_max) {
    Watch watch;
    watch.effects.push_back({EffectKind::unknown, "text is longer than what is looked at", ""});
    return watch;
  }
  return Watcher(sql).run();
}

bool may_touch_state(std::string_view sql) {
  if (sql.size() > watch_bytes_max) return true;
  std::size_t begin = 0;
  while (begin < sql.size() && (is_blank(sql[begin]) || sql[begin] == '(')) ++begin;
  if (begin == sql.size()) return false;
  if (!begins_with_select(sql.substr(begin))) {
    std::size_t end = begin;
    while (end < sql.size() && is_letter(sql[end])) ++end;
    if (guess_command(sql.substr(begin, end - begin)) != Command::none) return true;
  }
  // A second statement has a first word of its own.
  const std::size_t semicolon = sql.find(';', begin);
  if (semicolon != std::string_view::npos) {
    for (std::size_t i = semicolon + 1; i < sql.size(); ++i) {
      if (!is_blank(sql[i]) && sql[i] != ';') return true;
    }
  }
  return is_suspicious(sql);
}

std::string_view name_of(EffectKind kind) {
  switch (kind) {
    case EffectKind::begin:
      return "begin";
    case EffectKind::end:
      return "end";
    case EffectKind::savepoint:
      return "savepoint";
    case EffectKind::prepare_transaction:
      return "prepare_transaction";
    case EffectKind::finish_prepared:
      return "finish_prepared";
    case EffectKind::set:
      return "set";
    case EffectKind::set_local:
      return "set_local";
    case EffectKind::reset:
      return "reset";
    case EffectKind::reset_all:
      return "reset_all";
    case EffectKind::set_transaction:
      return "set_transaction";
    case EffectKind::set_characteristics:
      return "set_characteristics";
    case EffectKind::set_role:
      return "set_role";
    case EffectKind::set_config:
      return "set_config";
    case EffectKind::discard_all:
      return "discard_all";
    case EffectKind::discard_other:
      return "discard_other";
    case EffectKind::set_string:
      return "set_string";
    case EffectKind::prepare:
      return "prepare";
    case EffectKind::deallocate:
      return "deallocate";
    case EffectKind::deallocate_all:
      return "deallocate_all";
    case EffectKind::listen:
      return "listen";
    case EffectKind::unlisten:
      return "unlisten";
    case EffectKind::unlisten_all:
      return "unlisten_all";
    case EffectKind::notify:
      return "notify";
    case EffectKind::temp_object:
      return "temp_object";
    case EffectKind::hold_cursor:
      return "hold_cursor";
    case EffectKind::advisory_lock:
      return "advisory_lock";
    case EffectKind::advisory_unlock:
      return "advisory_unlock";
    case EffectKind::load:
      return "load";
    case EffectKind::unknown:
      return "unknown";
  }
  return "unknown";
}

}  // namespace turnout::protocol::pg
