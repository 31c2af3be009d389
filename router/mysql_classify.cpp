#include "router/mysql_classify.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "router/mysql_lexer.h"
#include "router/mysql_words.h"

namespace turnout::router {

namespace {

// During a hold the writer's own reads run on connections that are only to be read on.
constexpr const char* tells_access = "it tells whether its connection may write";

using Kind = MysqlToken::Kind;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return out;
}

template <typename... Words>
bool is_one_of(std::string_view word, Words... words) {
  return ((word == words) || ...);
}

bool may_begin_query(std::string_view word) {
  return is_one_of(word, "select", "with", "values", "table");
}

// What ends the list of tables behind FROM. Only words that are reserved everywhere: WINDOW, OFFSET and the like may be
// an alias, with another table behind it.
bool ends_tables(std::string_view word) {
  return is_one_of(word, "where", "group", "having", "order", "limit", "union");
}

// Within the parentheses of a call FROM belongs to these.
bool has_from_inside(std::string_view function) {
  return is_one_of(function, "extract", "trim", "substring", "substr", "mid");
}

// What stands between one pair of parentheses, or between two semicolons.
struct Level {
  std::string function;        // whose arguments these are; empty: none
  bool is_new = true;          // nothing of it has come yet
  bool is_query = false;       // it began with SELECT or the like
  bool in_tables = false;      // behind FROM
  bool wants_table = false;    // the next token names a relation
  bool in_common = false;      // the list behind WITH
  bool wants_common = false;   // the next token names one of it
  bool is_just_names = false;  // columns of a common table, lengths of a type
};

class Walk {
 public:
  Walk(std::vector<MysqlToken> tokens, const Catalog& catalog, std::string_view database)
      : tokens_(std::move(tokens)), catalog_(catalog), database_(database) {}

  Classified run() {
    for (at_ = 0; at_ < tokens_.size() && found_.verdict != Verdict::write; ++at_) {
      if (levels_.empty()) {
        if (!token().is(';')) begin_statement();
      } else {
        step();
      }
    }
    if (found_.verdict != Verdict::write && !levels_.empty()) end_statement();
    if (statements_ == 0) write("no statement");
    return std::move(found_);
  }

 private:
  [[nodiscard]] const MysqlToken& token() const { return tokens_[at_]; }
  [[nodiscard]] const MysqlToken* ahead(std::size_t by) const {
    return at_ + by < tokens_.size() ? &tokens_[at_ + by] : nullptr;
  }
  [[nodiscard]] bool is_word_ahead(std::size_t by, std::string_view word) const {
    return ahead(by) != nullptr && ahead(by)->is_word(word);
  }
  [[nodiscard]] bool is_symbol_ahead(std::size_t by, char symbol) const {
    return ahead(by) != nullptr && ahead(by)->is(symbol);
  }
  [[nodiscard]] const MysqlToken* behind(std::size_t by) const {
    return at_ >= first_ + by ? &tokens_[at_ - by] : nullptr;
  }
  Level& level() { return levels_.back(); }

  void worse(Verdict verdict, std::string why) {
    if (verdict <= found_.verdict) return;
    found_.verdict = verdict;
    found_.why = std::move(why);
  }
  void write(std::string why) { worse(Verdict::write, std::move(why)); }
  void of_writer(std::string why) { worse(Verdict::read_writer, std::move(why)); }

  void begin_statement() {
    ++statements_;
    first_ = at_;
    common_.clear();
    levels_.assign(1, Level{});
    if (token().is_word("show")) {
      of_writer("SHOW speaks of one server");
      while (at_ + 1 < tokens_.size() && !tokens_[at_ + 1].is(';')) {
        ++at_;
        if (token().is_word("variables")) write(tells_access);
      }
      levels_.clear();
      return;
    }
    step();
  }

  void end_statement() {
    const bool is_whole = levels_.size() == 1 && !level().wants_table && !level().in_common;
    if (!is_whole) write("not a whole query");
    levels_.clear();
  }

  void step() {
    const bool is_new = level().is_new;
    level().is_new = false;
    switch (token().kind) {
      case Kind::word:
        take_word(is_new);
        return;
      case Kind::name:
        if (level().wants_common || level().wants_table)
          take_relation_or_common();
        else if (is_new && levels_.size() == 1)
          write("not a query");
        return;
      case Kind::either:
      case Kind::literal:
        if (level().wants_table || level().wants_common || (is_new && levels_.size() == 1))
          write("a relation's name cannot be told from a string");
        return;
      case Kind::user_variable:
        write("user variables are the session's, on its server connection");
        return;
      case Kind::system_variable:
        of_writer("system variables are the server's and the session's");
        for (std::size_t i = at_ + 1; i < tokens_.size() && i <= at_ + 3; ++i)  // @@ global . name
          if (lower(tokens_[i].text).find("read_only") != std::string::npos) write(tells_access);
        if (level().wants_table) write("not a query");
        return;
      case Kind::symbol:
        take_symbol(token().text.front(), is_new);
        return;
      case Kind::end:
        return;
    }
  }

  // ---- words

  void take_word(bool is_new) {
    if (level().wants_common && !token().is_word("recursive")) {
      take_relation_or_common();
      return;
    }
    const std::string word = lower(token().text);
    if (is_new && (levels_.size() == 1 || level().wants_table || may_begin_query(word))) {
      if (may_begin_query(word)) {
        begin_query(word);
        return;
      }
      if (levels_.size() == 1) {
        write(word + " is not a query");
        return;
      }
    }
    const bool is_lateral = word == "lateral" && is_symbol_ahead(1, '(');
    if (level().wants_table && !is_lateral) {
      take_relation_or_common();
      return;
    }
    const bool is_column = behind(1) != nullptr && behind(1)->is('.') && !token().has_gap;
    if (is_column) return;
    take_keyword(word);
  }

  void begin_query(const std::string& word) {
    Level& now = level();
    now.is_query = word != "with";
    now.in_tables = now.wants_table = false;
    if (word == "with") now.in_common = now.wants_common = true;
    if (word == "table") now.in_tables = now.wants_table = true;
  }

  void take_keyword(const std::string& word) {
    Level& now = level();
    const bool is_call = is_symbol_ahead(1, '(');
    const bool is_type_told = word == "returning" && now.function == "json_value";
    if (is_mysql_word_of_a_write(word) && !(is_call && is_harmless_mysql_function(word)) && !is_type_told) {
      write(word + ": writes, locks or leaves something behind");
    } else if (word == "select" || word == "values") {
      if (word == "select" || !is_call) now.in_tables = now.in_common = now.wants_common = false;
      if (word == "select") now.is_query = true;
    } else if (word == "from") {
      take_from();
    } else if (word == "join" || word == "straight_join") {
      if (now.in_tables) now.wants_table = true;
    } else if (word == "for") {
      const bool is_length = ahead(1) != nullptr && ahead(1)->kind == Kind::literal && has_from_inside(now.function);
      if (!is_length) write("FOR: locks rows, counts a sequence on, or asks for another time");
    } else if (word == "with") {
      const bool is_harmless = is_word_ahead(1, "rollup") || is_word_ahead(1, "ties") || is_word_ahead(1, "query");
      if (!is_harmless) write("WITH where none is known");
    } else if (is_one_of(word, "next", "previous") && is_word_ahead(1, "value")) {
      write("a sequence is counted on");
    } else if (is_one_of(word, "current_user", "current_role")) {
      of_writer(word + " speaks of the session");
    } else if (word == "table") {
      now.in_common = now.wants_common = false;
      now.in_tables = now.wants_table = true;
    } else if (ends_tables(word)) {
      now.in_tables = false;
    }
  }

  void take_from() {
    Level& now = level();
    if (now.is_query)
      now.in_tables = now.wants_table = true;
    else if (!has_from_inside(now.function))
      write("FROM where none is known");
  }

  // ---- names

  void take_relation_or_common() {
    Level& now = level();
    if (now.wants_common) {
      now.wants_common = false;
      common_.emplace_back(token().text);
      names_columns_ = is_symbol_ahead(1, '(');
      return;
    }
    now.wants_table = false;
    const MysqlToken* const second = is_symbol_ahead(1, '.') ? ahead(2) : nullptr;
    if (second == nullptr && is_symbol_ahead(1, '.')) {
      write("not a whole query");
    } else if (second == nullptr) {
      judge_relation(database_, token().text, true);
    } else if (second->kind == Kind::word || second->kind == Kind::name) {
      const std::string_view schema = token().text;
      at_ += 2;
      judge_relation(schema, token().text, false);
    } else {
      write("a relation's name cannot be told");
    }
    if (is_symbol_ahead(1, '(')) write("a function in the place of a table");
  }

  void judge_relation(std::string_view schema, std::string_view name, bool is_bare) {
    if (is_bare && is_same_word(name, "dual")) return;
    const std::string shown = std::string(schema) + "." + std::string(name);
    if (is_same_word(schema, "information_schema") || is_same_word(schema, "performance_schema") ||
        is_same_word(schema, "mysql")) {
      of_writer(shown + " is the server's own");
      if (lower(name).find("variables") != std::string::npos) write(tells_access);
      return;
    }
    const Effect effect = catalog_.relation(mysql_catalog_database, schema, name);
    const bool is_common = is_bare && std::find(common_.begin(), common_.end(), name) != common_.end();
    if (effect.known)
      worse(effect.verdict, shown + ": " + effect.why);
    else if (!is_common)
      write(shown + " is not known");
  }

  // ---- symbols

  void take_symbol(char symbol, bool is_new) {
    Level& now = level();
    if (symbol == '(') {
      open_parenthesis();
    } else if (symbol == ')') {
      if (levels_.size() == 1 || now.wants_table || now.in_common)
        write("not a whole query");
      else
        levels_.pop_back();
    } else if (symbol == ';') {
      if (levels_.size() == 1 && !is_new)
        end_statement();
      else
        write("not a whole query");
    } else if (now.wants_table || now.wants_common || (is_new && levels_.size() == 1)) {
      write("not a query");
    } else if (symbol == ',') {
      now.wants_table = now.in_tables;
      now.wants_common = now.in_common;
    } else if (std::string_view("+-*/%=<>!&|^~.").find(symbol) == std::string_view::npos) {
      write(std::string("the sign ") + symbol);
    }
  }

  void open_parenthesis() {
    Level inner;
    const bool names_columns = std::exchange(names_columns_, false);
    if (behind(1) != nullptr && behind(1)->is(')')) level().in_common = false;  // WITH … (SELECT …)
    if (names_columns) {
      inner.is_just_names = true;
    } else if (behind(1) != nullptr && !level().wants_table) {
      judge_before_parenthesis(*behind(1), inner);
    }
    if (level().wants_table) {
      level().wants_table = false;
      inner.in_tables = inner.wants_table = true;
    }
    levels_.push_back(std::move(inner));
  }

  void judge_before_parenthesis(const MysqlToken& before, Level& inner) {
    if (before.kind == Kind::symbol) return;
    const bool is_word = before.kind == Kind::word;
    const bool is_of_schema = behind(2) != nullptr && behind(2)->is('.');
    if (!is_word || is_of_schema) {
      write("a call of what may be a stored function: " + std::string(before.text));
      return;
    }
    const std::string word = lower(before.text);
    // Of the others, a name with a gap behind it is first of all a stored function's.
    const bool is_reserved = is_one_of(word, "if", "left", "right", "replace", "repeat", "char", "insert");
    const bool is_native = is_harmless_mysql_function(word) || is_server_mysql_function(word);
    if (is_native && (is_reserved || !token().has_gap)) {
      const bool has_namesake = !catalog_.schemas_of_function(mysql_catalog_database, word).empty();
      if (has_namesake) write("a stored function is called " + word);
      if (is_server_mysql_function(word)) of_writer(word + "() speaks of the server or the session");
      inner.function = word;
      return;
    }
    const bool tells_type = behind(2) != nullptr && (behind(2)->is_word("as") || behind(2)->is_word("returning"));
    const bool is_cast = tells_type && is_mysql_type_with_length(word);
    const bool is_member = word == "of" && behind(2) != nullptr && behind(2)->is_word("member");
    const bool is_match = word == "against" && behind(2) != nullptr && behind(2)->is(')');
    const bool is_quantified = is_one_of(word, "any", "some") && is_word_ahead(1, "select");
    if (is_cast) inner.is_just_names = true;
    if (!is_cast && !is_match && !is_member && !is_quantified && !is_mysql_word_before_parenthesis(word))
      write(word + "() is not known to change nothing");
  }

  const std::vector<MysqlToken> tokens_;
  const Catalog& catalog_;
  const std::string_view database_;
  std::size_t at_ = 0;
  std::size_t first_ = 0;  // of the statement
  std::size_t statements_ = 0;
  bool names_columns_ = false;  // the parenthesis that follows does
  std::vector<Level> levels_;   // empty: between two statements
  std::vector<std::string> common_;
  Classified found_{.verdict = Verdict::read, .why = {}, .by_literal = false};
};

Classified unsure(std::string why) {
  return {.verdict = Verdict::write, .why = std::move(why), .by_literal = false};
}

}  // namespace

Classified classify_mysql(std::string_view sql, const Catalog& catalog, std::string_view default_database) {
  if (sql.size() > classified_bytes_max) return unsure("too long to be looked at");
  MysqlLexer lexer(sql);
  std::vector<MysqlToken> tokens;
  for (MysqlToken token = lexer.next(); token.kind != Kind::end; token = lexer.next()) {
    if (tokens.size() >= classified_tokens_max) return unsure("too long to be looked at");
    tokens.push_back(token);
  }
  if (lexer.is_malformed()) return unsure("a string, a name or a comment does not end");
  if (lexer.is_unsure()) return unsure("what it means hangs on the server's version or settings");
  return Walk(std::move(tokens), catalog, default_database).run();
}

}  // namespace turnout::router
