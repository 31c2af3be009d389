#include "protocol/pg/startup_options.h"

#include <algorithm>
#include <array>

namespace turnout::protocol::pg {
namespace {

constexpr std::string_view syntax_error = "42601";
constexpr std::string_view invalid_name = "42602";
constexpr std::string_view cannot_change = "55P02";

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

std::vector<std::string> split(std::string_view options) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  for (std::size_t i = 0; i < options.size(); ++i) {
    const char c = options[i];
    if (is_blank(c)) {
      if (in_word) words.push_back(std::exchange(word, {}));
      in_word = false;
      continue;
    }
    in_word = true;
    if (c == '\\' && i + 1 < options.size())
      word.push_back(options[++i]);
    else
      word.push_back(c);
  }
  if (in_word) words.push_back(word);
  return words;
}

StartupRefusal refuse_word(std::string_view word) {
  return {std::string(syntax_error), "invalid command-line argument for server process: " + std::string(word)};
}

// Settings that a server takes only while a connection is made: ours are made before the client is known.
constexpr std::array<std::string_view, 8> only_at_start = {
    "ignore_system_indexes", "jit_debugging_support", "jit_profiling_support", "local_preload_libraries",
    "log_connections",       "log_disconnections",    "post_auth_delay",       "reserved_connections"};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

// A server also knows names with `$` or with letters beyond ASCII; no setting has one, and names become SQL of ours.
bool is_letter(char c) {
  return (lower(c) >= 'a' && lower(c) <= 'z') || c == '_';
}

// Walks the words; a switch that takes a value has it in the same word or in the next one.
class Words {
 public:
  explicit Words(std::vector<std::string> words) : words_(std::move(words)) {}

  [[nodiscard]] StartupOptions read() {
    while (at_ < words_.size() && !out_.refusal) take(words_[at_++]);
    return std::move(out_);
  }

 private:
  void take(const std::string& word) {
    if (word.starts_with("--")) {
      assign(word.substr(2), word);
    } else if (word.size() >= 2 && word[0] == '-') {
      take_switch(word[1], word);
    } else {
      out_.refusal = refuse_word(word);
    }
  }

  void take_switch(char letter, const std::string& word) {
    if (letter == 'e' && word.size() == 2) {
      add("datestyle", "euro");
      return;
    }
    if (letter == 's' && word.size() == 2) {
      add("log_statement_stats", "true");
      return;
    }
    const bool has_value = word.size() > 2 || at_ < words_.size();
    if (std::string_view("cfSt").find(letter) == std::string_view::npos || !has_value) {
      out_.refusal = refuse_word(word);
      return;
    }
    const std::string value = word.size() > 2 ? word.substr(2) : words_[at_++];
    if (letter == 'c')
      assign(value, "-c " + value);
    else if (letter == 'S')
      add("work_mem", value);
    else
      add_named(letter, value);
  }

  // -f forbids a plan type, -t asks for the times of one part of the server.
  void add_named(char letter, const std::string& value) {
    using Row = std::pair<std::string_view, std::string_view>;
    static constexpr std::array<Row, 7> plans = {Row{"s", "enable_seqscan"},       Row{"i", "enable_indexscan"},
                                                 Row{"o", "enable_indexonlyscan"}, Row{"b", "enable_bitmapscan"},
                                                 Row{"t", "enable_tidscan"},       Row{"n", "enable_nestloop"},
                                                 Row{"m", "enable_mergejoin"}};
    static constexpr std::array<Row, 6> parts = {Row{"pa", "log_parser_stats"},  Row{"parser", "log_parser_stats"},
                                                 Row{"pl", "log_planner_stats"}, Row{"planner", "log_planner_stats"},
                                                 Row{"e", "log_executor_stats"}, Row{"executor", "log_executor_stats"}};
    const auto find = [&](const auto& rows) {
      const auto found = std::find_if(rows.begin(), rows.end(), [&](const Row& row) { return row.first == value; });
      return found == rows.end() ? std::string_view() : found->second;
    };
    std::string_view name = letter == 'f' ? find(plans) : find(parts);
    if (letter == 'f' && value == "h") name = "enable_hashjoin";
    if (name.empty())
      out_.refusal = refuse_word("-" + std::string(1, letter) + " " + value);
    else
      add(std::string(name), letter == 'f' ? "false" : "true");
  }

  void assign(const std::string& assignment, const std::string& as_written) {
    const std::size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0) {
      out_.refusal = StartupRefusal{std::string(syntax_error), as_written + " requires a value"};
      return;
    }
    std::string name = assignment.substr(0, equals);
    std::replace(name.begin(), name.end(), '-', '_');  // --log-duration is log_duration
    add(std::move(name), assignment.substr(equals + 1));
  }

  void add(std::string name, std::string value) {
    out_.refusal = refuse_setting(name);
    if (!out_.refusal) out_.settings.emplace_back(std::move(name), std::move(value));
  }

  std::vector<std::string> words_;
  std::size_t at_ = 0;
  StartupOptions out_;
};

// One element of SplitIdentifierString: a quoted name, in which "" is one quote, or a bare one.
std::optional<std::string> take_list_name(std::string_view& value) {
  std::string name;
  if (!value.starts_with('"')) {
    std::size_t length = 0;
    while (length < value.size() && value[length] != ',' && !is_blank(value[length])) ++length;
    name = value.substr(0, length);
    std::transform(name.begin(), name.end(), name.begin(), lower);
    value.remove_prefix(length);
    return name.empty() ? std::nullopt : std::optional(name);
  }
  for (std::size_t i = 1; i < value.size(); ++i) {
    if (value[i] != '"') {
      name += value[i];
    } else if (i + 1 < value.size() && value[i + 1] == '"') {
      name += value[i++];
    } else {
      value.remove_prefix(i + 1);
      return name;
    }
  }
  return std::nullopt;
}

}  // namespace

StartupOptions parse_options(std::string_view options) {
  return Words(split(options)).read();
}

std::optional<StartupRefusal> refuse_setting(std::string_view name) {
  // A name, or names with dots between them, as the server's valid_custom_variable_name has it.
  bool is_begin = true;
  bool is_name = !name.empty();
  for (const char c : name) {
    const bool is_digit = c >= '0' && c <= '9';
    if (c == '.' && !is_begin) {
      is_begin = true;
      continue;
    }
    is_name = is_name && (is_letter(c) || (!is_begin && is_digit));
    is_begin = false;
  }
  if (!is_name || is_begin)
    return StartupRefusal{std::string(invalid_name),
                          "invalid configuration parameter name \"" + std::string(name) + "\""};
  std::string folded(name);
  std::transform(folded.begin(), folded.end(), folded.begin(), lower);
  if (std::find(only_at_start.begin(), only_at_start.end(), folded) == only_at_start.end()) return std::nullopt;
  return StartupRefusal{std::string(cannot_change),
                        "parameter \"" + folded +
                            "\" cannot be set by a client of Turnout: a server takes it only while a " +
                            "connection is made, and connections are shared"};
}

std::optional<ListValue> split_list_value(std::string_view name, std::string_view value) {
  // GUC_LIST_QUOTE of the server's guc_tables.c, as far as a session may set them.
  constexpr std::array<std::string_view, 3> list_settings = {"search_path", "temp_tablespaces",
                                                             "session_preload_libraries"};
  std::string folded(name);
  std::transform(folded.begin(), folded.end(), folded.begin(), lower);
  if (std::find(list_settings.begin(), list_settings.end(), folded) == list_settings.end()) return std::nullopt;
  ListValue list;
  const auto skip_blanks = [&value] {
    while (!value.empty() && is_blank(value.front())) value.remove_prefix(1);
  };
  skip_blanks();
  if (value.empty()) return list;
  while (true) {
    auto element = take_list_name(value);
    skip_blanks();
    const bool is_last = value.empty();
    if (!element || (!is_last && value.front() != ',')) return ListValue{{}, true};
    list.names.push_back(std::move(*element));
    if (is_last) return list;
    value.remove_prefix(1);
    skip_blanks();
  }
}

}  // namespace turnout::protocol::pg
