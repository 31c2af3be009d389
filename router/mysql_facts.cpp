#include "router/mysql_facts.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "router/classify.h"
#include "router/mysql_lexer.h"

namespace turnout::router {

namespace {

using Kind = MysqlToken::Kind;

// Of the moment; in a condition they choose rows by the time, which is hardly ever seen.
constexpr auto clocks = std::to_array<std::string_view>({
    "curdate",
    "current_date",
    "current_time",
    "current_timestamp",
    "curtime",
    "localtime",
    "localtimestamp",
    "now",
    "sysdate",
    "utc_date",
    "utc_time",
    "utc_timestamp",
});
// Those that are called by their bare name, too.
constexpr auto bare_clocks = std::to_array<std::string_view>({
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "utc_date",
    "utc_time",
    "utc_timestamp",
});
// Another value at each call, or on each server.
constexpr auto never_alike = std::to_array<std::string_view>({
    "connection_id",
    "current_role",
    "current_user",
    "database",
    "encrypt",
    "found_rows",
    "last_insert_id",
    "rand",
    "random_bytes",
    "row_count",
    "schema",
    "session_user",
    "sys_guid",
    "system_user",
    "user",
    "uuid",
    "uuid_short",
    "version",
});
// Aggregates whose value holds the order in which they met their input.
constexpr auto gathering = std::to_array<std::string_view>({"group_concat", "json_arrayagg", "json_objectagg"});
static_assert(std::ranges::is_sorted(clocks) && std::ranges::is_sorted(bare_clocks) &&
              std::ranges::is_sorted(never_alike) && std::ranges::is_sorted(gathering));

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return out;
}

template <std::size_t N>
bool has(const std::array<std::string_view, N>& sorted, std::string_view word) {
  return std::ranges::binary_search(sorted, word);
}

template <typename... Words>
bool is_one_of(std::string_view word, Words... words) {
  return ((word == words) || ...);
}

ShadowFacts never(std::string why) {
  ShadowFacts facts;
  facts.never_same = std::move(why);
  return facts;
}

class Walk {
 public:
  explicit Walk(std::vector<MysqlToken> tokens) : tokens_(std::move(tokens)) {}

  ShadowFacts run() {
    for (at_ = 0; at_ < tokens_.size(); ++at_) {
      const MysqlToken& token = tokens_[at_];
      if (token.kind == Kind::system_variable || token.kind == Kind::user_variable) say("a variable");
      if (token.kind == Kind::word && !is_name()) take_word(lower(token.text));
      if (token.is('(')) levels_.push_back({levels_.back().in_condition, levels_.back().in_condition, gathers_next()});
      if (token.is(')')) close();
      if (token.is(';') && at_ + 1 < tokens_.size()) return never("it has several statements");
    }
    return std::move(facts_);
  }

 private:
  struct Level {
    bool in_condition = false;
    bool began_in_condition = false;
    bool gathers = false;  // the arguments of an aggregate that was told no order so far
  };

  [[nodiscard]] bool is_ahead(char symbol) const { return at_ + 1 < tokens_.size() && tokens_[at_ + 1].is(symbol); }
  [[nodiscard]] bool is_word_ahead(std::string_view word) const {
    return at_ + 1 < tokens_.size() && tokens_[at_ + 1].is_word(word);
  }
  // Behind a point: of a column.
  [[nodiscard]] bool is_name() const { return at_ != 0 && tokens_[at_ - 1].is('.'); }
  [[nodiscard]] bool gathers_next() const {
    return at_ != 0 && tokens_[at_ - 1].kind == Kind::word && has(gathering, lower(tokens_[at_ - 1].text));
  }

  void close() {
    if (levels_.back().gathers) facts_.gathers_freely = true;
    if (levels_.size() > 1) levels_.pop_back();
  }

  void take_word(const std::string& word) {
    Level& now = levels_.back();
    const bool is_call = is_ahead('(');
    if (is_one_of(word, "where", "having", "on")) now.in_condition = true;
    if (is_one_of(word, "select", "from", "join", "group", "order", "limit", "union", "except", "intersect"))
      now.in_condition = now.began_in_condition;
    if (word == "order" && is_word_ahead("by")) {
      if (levels_.size() == 1) facts_.is_ordered = true;
      now.gathers = false;
    }
    if (word == "limit" || (word == "fetch" && (is_word_ahead("first") || is_word_ahead("next"))))
      facts_.cuts_by_order = true;
    if (word == "over") facts_.numbers_rows = true;
    const bool is_clock = (is_call && has(clocks, word)) || has(bare_clocks, word);
    const bool is_now = word == "unix_timestamp" && is_call && at_ + 2 < tokens_.size() && tokens_[at_ + 2].is(')');
    if (is_clock || is_now) meet_clock(word);
    if ((is_call && has(never_alike, word)) || is_one_of(word, "current_user", "current_role")) say(word + "()");
  }

  void meet_clock(const std::string& what) {
    if (levels_.back().in_condition)
      facts_.depends_on_time = true;
    else
      say(what + "()");
  }

  void say(const std::string& why) {
    if (facts_.never_same.empty()) facts_.never_same = why;
  }

  const std::vector<MysqlToken> tokens_;
  std::size_t at_ = 0;
  std::vector<Level> levels_{Level{}};
  ShadowFacts facts_;
};

}  // namespace

ShadowFacts mysql_shadow_facts(std::string_view sql) {
  if (sql.size() > classified_bytes_max) return never("it is too long to be looked into");
  MysqlLexer lexer(sql);
  std::vector<MysqlToken> tokens;
  for (MysqlToken token = lexer.next(); token.kind != Kind::end; token = lexer.next()) tokens.push_back(token);
  if (lexer.is_malformed()) return never("it cannot be read");
  return Walk(std::move(tokens)).run();
}

}  // namespace turnout::router
