#include "protocol/pg/hba.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace turnout::protocol::pg {
namespace {

constexpr std::size_t rules_max = 10'000;
constexpr std::size_t mistakes_max = 50;
constexpr unsigned ipv4_prefix = 96;  // bits of ::ffff:0:0 before the IPv4 address

struct Token {
  std::string text;
  bool is_quoted = false;  // any part of it
  bool comma_follows = false;
  std::size_t column = 1;
};

// Blanks separate, commas join to a list, quotes make everything ordinary, # begins a comment outside of quotes.
std::optional<std::vector<Token>> split_line(std::string_view line, std::string& mistake, std::size_t& column) {
  std::vector<Token> tokens;
  std::size_t at = 0;
  while (at < line.size() && line[at] != '#') {
    if (line[at] == ' ' || line[at] == '\t') {
      ++at;
      continue;
    }
    column = at + 1;
    if (line[at] == ',') {
      if (tokens.empty() || tokens.back().comma_follows) {
        mistake = "a comma without a name before it";
        return std::nullopt;
      }
      tokens.back().comma_follows = true;
      ++at;
      continue;
    }
    Token token;
    token.column = column;
    bool in_quotes = false;
    for (; at < line.size(); ++at) {
      const char c = line[at];
      if (!in_quotes && (c == ' ' || c == '\t' || c == ',' || c == '#')) break;
      if (c == '"') {
        in_quotes = !in_quotes;
        token.is_quoted = true;
      } else {
        token.text += c;
      }
    }
    if (in_quotes) {
      mistake = "a double quote is not closed on this line";
      return std::nullopt;
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

class Line {
 public:
  explicit Line(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  std::optional<HbaRule> read() {
    const Token* const kind = single("a connection type");
    if (kind == nullptr || !read_connection(*kind)) return std::nullopt;
    if (!read_names("database", rule_.databases) || !read_names("user", rule_.users)) return std::nullopt;
    if (rule_.connection != HbaRule::Connection::local && !read_address()) return std::nullopt;
    if (!read_method()) return std::nullopt;
    while (at_ < tokens_.size())
      if (!read_option()) return std::nullopt;
    return rule_;
  }

  [[nodiscard]] const std::string& mistake() const { return mistake_; }
  [[nodiscard]] std::size_t column() const { return column_; }

 private:
  bool refuse(std::string text) {
    mistake_ = std::move(text);
    return false;
  }

  const Token* single(std::string_view what) {
    if (at_ == tokens_.size()) {
      column_ = tokens_.back().column;
      mistake_ = "the line ends before " + std::string(what);
      return nullptr;
    }
    const Token& token = tokens_[at_++];
    column_ = token.column;
    if (!token.comma_follows) return &token;
    mistake_ = std::string(what) + " cannot be a list";
    return nullptr;
  }

  bool read_connection(const Token& kind) {
    using Connection = HbaRule::Connection;
    if (kind.text == "local")
      rule_.connection = Connection::local;
    else if (kind.text == "host" || kind.text == "hostnogssenc")
      rule_.connection = Connection::host;
    else if (kind.text == "hostssl")
      rule_.connection = Connection::host_tls;
    else if (kind.text == "hostnossl")
      rule_.connection = Connection::host_plain;
    else if (kind.text.starts_with("include"))
      return refuse("\"" + kind.text + "\" is not supported: write the rules into this file");
    else
      return refuse("\"" + kind.text + "\" is not a connection type: local, host, hostssl or hostnossl");
    return true;
  }

  bool read_names(const std::string& what, std::vector<HbaName>& names) {
    bool goes_on = true;
    while (goes_on) {
      if (at_ == tokens_.size()) {
        column_ = tokens_.back().column;
        return refuse("the line ends before a " + what);
      }
      const Token& token = tokens_[at_++];
      column_ = token.column;
      goes_on = token.comma_follows;
      if (!token.is_quoted) {
        const char first = token.text.empty() ? '\0' : token.text.front();
        if (first == '+')
          return refuse("groups (" + token.text +
                        ") are not supported: Turnout does not know who is a member; list the users");
        if (first == '@') return refuse("files (" + token.text + ") are not supported: list the names here");
        if (first == '/') return refuse("patterns (" + token.text + ") are not supported: list the names");
        if (what == "database" && (token.text == "samerole" || token.text == "samegroup"))
          return refuse("\"" + token.text +
                        "\" is not supported: Turnout does not know who is a member; use sameuser or names");
      }
      names.push_back({token.text, token.is_quoted});
    }
    return true;
  }

  bool read_address() {
    const Token* const token = single("an address");
    if (token == nullptr) return false;
    if (token->text == "all" && !token->is_quoted) {
      rule_.is_any_address = true;
      return true;
    }
    const std::size_t slash = token->text.find('/');
    const std::string_view address = std::string_view(token->text).substr(0, slash);
    const auto bytes = parse_address(address);
    if (!bytes) {
      return refuse(
          "\"" + token->text +
          "\" is not an address such as 10.0.0.0/8, ::1/128 or all; names are not looked up while a client waits");
    }
    rule_.network = *bytes;
    const bool is_ipv4 = address.find(':') == std::string_view::npos;
    return slash != std::string::npos ? read_prefix(std::string_view(token->text).substr(slash + 1), is_ipv4)
                                      : read_mask(is_ipv4);
  }

  bool read_prefix(std::string_view text, bool is_ipv4) {
    unsigned bits = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
    if (error != std::errc{} || end != text.data() + text.size() || bits > (is_ipv4 ? 32U : 128U))
      return refuse("/" + std::string(text) + " is not a number of bits from 0 to " + (is_ipv4 ? "32" : "128"));
    rule_.prefix_bits = bits + (is_ipv4 ? ipv4_prefix : 0);
    return true;
  }

  bool read_mask(bool is_ipv4) {
    const Token* const token = single("a network mask, or the number of bits behind the address, as in /32,");
    if (token == nullptr) return false;
    const auto mask = parse_address(token->text);
    const bool same_family = (token->text.find(':') == std::string::npos) == is_ipv4;
    if (!mask || !same_family)
      return refuse("\"" + token->text +
                    "\" is not a network mask; write the number of bits behind the address, as in /32");
    unsigned bits = is_ipv4 ? ipv4_prefix : 0;
    while (bits < 128 && ((*mask)[bits / 8] >> (7 - bits % 8) & 1) != 0) ++bits;
    for (unsigned bit = bits; bit < 128; ++bit)
      if (((*mask)[bit / 8] >> (7 - bit % 8) & 1) != 0)
        return refuse("\"" + token->text + "\" is not a network mask: its ones must come first");
    rule_.prefix_bits = bits;
    return true;
  }

  bool read_method() {
    const Token* const token = single("a method");
    if (token == nullptr) return false;
    static const std::array<std::pair<std::string_view, HbaMethod>, 6> methods = {
        {{"trust", HbaMethod::trust},
         {"reject", HbaMethod::reject},
         {"md5", HbaMethod::md5},
         {"scram-sha-256", HbaMethod::scram_sha_256},
         {"cert", HbaMethod::cert},
         {"peer", HbaMethod::peer}}};
    const auto found =
        std::find_if(methods.begin(), methods.end(), [&](const auto& row) { return row.first == token->text; });
    if (found == methods.end()) {
      return refuse("method \"" + token->text + "\" is not supported: trust, reject, md5, scram-sha-256, cert or peer");
    }
    rule_.method = found->second;
    using Connection = HbaRule::Connection;
    if (rule_.method == HbaMethod::peer && rule_.connection != Connection::local)
      return refuse("peer asks the kernel, which knows it of unix sockets only: use it on local lines");
    if (rule_.method == HbaMethod::cert && rule_.connection != Connection::host_tls)
      return refuse("cert needs TLS: use it on hostssl lines");
    if (rule_.method == HbaMethod::cert) rule_.certificate = ClientCertificate::names_user;
    return true;
  }

  bool read_option() {
    const Token* const token = single("an option");
    if (token == nullptr) return false;
    const bool is_tls = rule_.connection == HbaRule::Connection::host_tls;
    if (token->text == "clientcert=verify-ca" && is_tls && rule_.method != HbaMethod::cert)
      rule_.certificate = ClientCertificate::trusted;
    else if (token->text == "clientcert=verify-full" && is_tls)
      rule_.certificate = ClientCertificate::names_user;
    else
      return refuse("option \"" + token->text +
                    "\" is not supported here; hostssl lines may have clientcert=verify-ca or "
                    "clientcert=verify-full");
    return true;
  }

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  std::size_t column_ = 1;
  std::string mistake_;
  HbaRule rule_;
};

bool looks_like_ipv4(const AddressBytes& address) {
  constexpr std::array<std::uint8_t, ipv4_prefix / 8> prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::equal(prefix.begin(), prefix.end(), address.begin());
}

bool is_in_network(const HbaRule& rule, const AddressBytes& address) {
  // ::/0 is every IPv6 address, and no IPv4 address, which only looks like one here.
  if (looks_like_ipv4(address) != (rule.prefix_bits >= ipv4_prefix && looks_like_ipv4(rule.network))) return false;
  unsigned left = rule.prefix_bits;
  for (std::size_t i = 0; i < address.size() && left != 0; ++i) {
    const unsigned bits = std::min(left, 8U);
    const unsigned mask = 0xffU << (8 - bits) & 0xffU;
    if ((address[i] & mask) != (rule.network[i] & mask)) return false;
    left -= bits;
  }
  return true;
}

bool is_of_connection(const HbaRule& rule, const HbaClient& client) {
  switch (rule.connection) {
    case HbaRule::Connection::local:
      return client.is_unix;
    case HbaRule::Connection::host:
      return !client.is_unix;
    case HbaRule::Connection::host_tls:
      return !client.is_unix && client.is_tls;
    case HbaRule::Connection::host_plain:
      return !client.is_unix && !client.is_tls;
  }
  return false;
}

bool is_database(const HbaName& name, const HbaClient& client) {
  if (client.is_physical_replication) return !name.is_quoted && name.text == "replication";
  if (!name.is_quoted && name.text == "all") return true;
  if (!name.is_quoted && name.text == "sameuser") return client.database == client.user;
  if (!name.is_quoted && name.text == "replication") return false;
  return name.text == client.database;
}

bool is_user(const HbaName& name, const HbaClient& client) {
  return (!name.is_quoted && name.text == "all") || name.text == client.user;
}

}  // namespace

HbaFile parse_hba(std::string_view text) {
  HbaFile file;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t newline = std::min(text.find('\n'), text.size());
    std::string_view content = text.substr(0, newline);
    text.remove_prefix(std::min(newline + 1, text.size()));
    if (content.ends_with('\r')) content.remove_suffix(1);
    std::string mistake;
    std::size_t column = 1;
    std::optional<HbaRule> rule;
    if (content.find('\0') != std::string_view::npos) {
      mistake = "a zero byte; is this a text file?";
    } else if (auto tokens = split_line(content, mistake, column)) {
      if (tokens->empty()) continue;
      Line line(std::move(*tokens));
      rule = line.read();
      mistake = line.mistake();
      column = line.column();
    }
    if (rule && file.rules.size() == rules_max) {
      rule.reset();
      mistake = "more than " + std::to_string(rules_max) + " rules";
    }
    if (rule) {
      rule->line = number;
      file.rules.push_back(std::move(*rule));
      continue;
    }
    file.mistakes.push_back(std::to_string(number) + ":" + std::to_string(column) + ": " + mistake);
    if (file.mistakes.size() == mistakes_max) break;
  }
  return file;
}

const HbaRule* find_rule(const std::vector<HbaRule>& rules, const HbaClient& client) {
  for (const HbaRule& rule : rules) {
    if (!is_of_connection(rule, client)) continue;
    if (!client.is_unix && !rule.is_any_address && !is_in_network(rule, client.address)) continue;
    const auto has_database = [&](const HbaName& name) { return is_database(name, client); };
    const auto has_user = [&](const HbaName& name) { return is_user(name, client); };
    if (std::any_of(rule.databases.begin(), rule.databases.end(), has_database) &&
        std::any_of(rule.users.begin(), rule.users.end(), has_user))
      return &rule;
  }
  return nullptr;
}

}  // namespace turnout::protocol::pg
