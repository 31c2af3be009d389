#include "protocol/user_lines.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace turnout::protocol {
namespace {

// Longer than any name the server keeps (63 bytes) and any token service hands out.
constexpr std::size_t user_bytes_max = 255;
constexpr std::size_t secret_bytes_max = 4096;
// After so many the file is of another kind; more lines would only hide that.
constexpr std::size_t mistakes_max = 50;

class Line {
 public:
  explicit Line(std::string_view text) : text_(text) {}

  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  [[nodiscard]] bool is_at_end() const { return at_ == text_.size(); }
  [[nodiscard]] bool is_at_comment() const { return !is_at_end() && (text_[at_] == ';' || text_[at_] == '#'); }
  [[nodiscard]] bool is_at_blank() const { return !is_at_end() && (text_[at_] == ' ' || text_[at_] == '\t'); }
  [[nodiscard]] std::size_t column() const { return at_ + 1; }

  // Between quotes, "" is one quote. On a mistake: empty, `mistake` says what, the position stays at the opening quote.
  std::optional<std::string> quoted(std::string_view what, std::string& mistake) {
    if (is_at_end() || text_[at_] != '"') {
      mistake = std::string{what} + " must begin with a double quote, as in \"user\" \"secret\"";
      return std::nullopt;
    }
    std::string value;
    for (std::size_t i = at_ + 1; i < text_.size(); ++i) {
      if (text_[i] != '"') {
        value += text_[i];
      } else if (i + 1 < text_.size() && text_[i + 1] == '"') {
        value += text_[i++];
      } else {
        at_ = i + 1;
        return value;
      }
    }
    mistake = std::string{what} + " has no closing double quote on this line; write a quote inside it as \"\"";
    return std::nullopt;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
};

std::optional<UserLine> entry_from(Line& line, const std::function<std::string(std::string_view)>& find_mistake,
                                   std::string& mistake) {
  auto name = line.quoted("user name", mistake);
  if (!name) return std::nullopt;
  if (name->empty() || name->size() > user_bytes_max) {
    mistake = "user name must have 1 to " + std::to_string(user_bytes_max) + " bytes";
    return std::nullopt;
  }
  if (!line.is_at_blank()) {
    mistake = "after the user name a blank and the secret in double quotes must follow";
    return std::nullopt;
  }
  line.skip_blanks();
  auto text = line.quoted("secret", mistake);
  if (!text) return std::nullopt;
  if (!line.is_at_end() && !line.is_at_blank()) {
    mistake = "text right after the closing quote; write a double quote inside the secret as \"\"";
    return std::nullopt;
  }
  if (text->size() > secret_bytes_max) {
    mistake = "secret is longer than " + std::to_string(secret_bytes_max) + " bytes";
  } else {
    mistake = find_mistake(*text);
  }
  if (!mistake.empty()) return std::nullopt;
  return UserLine{std::move(*name), std::move(*text)};
}

}  // namespace

UserLines parse_user_lines(std::string_view text, const std::function<std::string(std::string_view)>& find_mistake) {
  UserLines list;
  std::set<std::string, std::less<>> names;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t newline = std::min(text.find('\n'), text.size());
    std::string_view content = text.substr(0, newline);
    text.remove_prefix(std::min(newline + 1, text.size()));
    if (content.ends_with('\r')) content.remove_suffix(1);

    Line line{content};
    line.skip_blanks();
    if (line.is_at_end() || line.is_at_comment()) continue;
    std::string mistake;
    std::optional<UserLine> entry;
    if (content.find('\0') != std::string_view::npos) {
      mistake = "a zero byte; is this a text file?";
    } else {
      entry = entry_from(line, find_mistake, mistake);
    }
    if (entry && !names.insert(entry->name).second) {
      mistake = "user \"" + entry->name + "\" is listed twice; keep one line";
      entry.reset();
    }
    if (entry) {
      list.users.push_back(std::move(*entry));
      continue;
    }
    if (list.mistakes.size() == mistakes_max) {
      list.mistakes.push_back(std::to_string(number) + ":1: more mistakes follow; is this a users file?");
      break;
    }
    list.mistakes.push_back(std::to_string(number) + ":" + std::to_string(line.column()) + ": " + mistake);
  }
  return list;
}

}  // namespace turnout::protocol
