#include <utility>

#include "protocol/mysql/login.h"
#include "protocol/user_lines.h"

namespace turnout::protocol::mysql {
namespace {

std::optional<std::string> from_hex(std::string_view text) {
  if (!text.starts_with("0x") || text.size() % 2 != 0) return std::nullopt;
  std::string out;
  for (std::size_t i = 2; i < text.size(); ++i) {
    constexpr std::string_view digits = "0123456789abcdefABCDEF";
    std::size_t digit = digits.find(text[i]);
    if (digit == std::string_view::npos) return std::nullopt;
    if (digit > 15) digit -= 6;
    if (i % 2 == 0)
      out += static_cast<char>(digit << 4);
    else
      out.back() = static_cast<char>(static_cast<unsigned char>(out.back()) | digit);
  }
  return out;
}

}  // namespace

std::optional<Secret> parse_secret(std::string_view text, std::string& mistake) {
  if (text.empty()) return Secret{};
  if (text[0] == '*' && text.size() == 41) {
    const auto hash = parse_native_hash(text);
    if (hash) return Secret{Secret::Kind::native_hash, view_of(*hash)};
    mistake = "secret begins like a hash of mysql_native_password but is not * and 40 hexadecimal digits";
    return std::nullopt;
  }
  const std::string hex = text.starts_with("0x2") ? from_hex(text).value_or(std::string{}) : std::string{};
  const std::string_view kept = hex.empty() ? text : std::string_view(hex);
  if (kept.starts_with("$A$") || kept.starts_with("$5$")) {
    if (parse_sha256_crypt(kept)) return Secret{Secret::Kind::crypt, kept};
    mistake =
        "secret begins like one that the server keeps for caching_sha2_password or sha256_password but has not its "
        "form; "
        "copy it again, as SELECT CONCAT('0x', HEX(authentication_string)) FROM mysql.user shows it";
    return std::nullopt;
  }
  return Secret{Secret::Kind::plain, text};
}

Users parse_users(std::string_view text) {
  UserLines lines = parse_user_lines(text, [](std::string_view secret) {
    std::string mistake;
    static_cast<void>(parse_secret(secret, mistake));
    return mistake;
  });
  Users list;
  list.mistakes = std::move(lines.mistakes);
  std::string mistake;
  for (UserLine& line : lines.users) {
    if (auto secret = parse_secret(line.secret, mistake))
      list.users.push_back({std::move(line.name), std::move(*secret)});
    wipe(line.secret);
  }
  return list;
}

}  // namespace turnout::protocol::mysql
