// The parts of the HTTP client that need no socket: addresses, path segments, the event format.
#include <charconv>

#include "control/http_client.h"

namespace turnout::control {
namespace {

[[noreturn]] void not_an_address(std::string_view text, std::string_view why) {
  throw std::invalid_argument("--control " + std::string(text) + ": " + std::string(why) +
                              "; write http://HOST:PORT or unix:PATH");
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return text;
}

}  // namespace

std::string ControlAddress::text() const {
  if (!unix_path.empty()) return "unix:" + unix_path;
  const bool is_v6 = host.find(':') != std::string::npos;
  return "http://" + (is_v6 ? "[" + host + "]" : host) + ":" + port;
}

ControlAddress control_address(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with("unix:")) {
    rest.remove_prefix(5);
    if (rest.empty()) not_an_address(text, "the path is missing");
    return {{}, {}, std::string(rest)};
  }
  if (rest.starts_with("https://")) not_an_address(text, "the control API does not speak TLS");
  if (rest.starts_with("http://")) rest.remove_prefix(7);
  while (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  const auto colon = rest.rfind(':');
  if (colon == std::string_view::npos || colon == 0) not_an_address(text, "the port is missing");
  std::string_view host = rest.substr(0, colon);
  const std::string_view port = rest.substr(colon + 1);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc{} || end != port.data() + port.size() || number == 0 || number > 65535) {
    not_an_address(text, "the port is not a number from 1 to 65535");
  }
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host.empty() || host.find('/') != std::string_view::npos) not_an_address(text, "the host is wrong");
  return {std::string(host), std::string(port), {}};
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string encoded;
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
                       byte == '-' || byte == '_' || byte == '.' || byte == '~';
    if (plain) {
      encoded.push_back(letter);
    } else {
      encoded.push_back('%');
      encoded.push_back(digits[byte >> 4]);
      encoded.push_back(digits[byte & 15]);
    }
  }
  return encoded;
}

std::optional<StreamEvent> take_event(std::string& text) {
  for (auto end = text.find("\n\n"); end != std::string::npos; end = text.find("\n\n")) {
    StreamEvent event;
    bool has_data = false;
    std::string_view block = std::string_view(text).substr(0, end);
    while (!block.empty()) {
      const auto line_end = std::min(block.find('\n'), block.size());
      const std::string_view line = block.substr(0, line_end);
      block.remove_prefix(std::min(line_end + 1, block.size()));
      const auto colon = line.find(':');
      if (colon == 0 || colon == std::string_view::npos) continue;  // a comment
      const std::string_view name = line.substr(0, colon);
      const std::string_view value = trimmed(line.substr(colon + 1));
      if (name == "id") std::from_chars(value.data(), value.data() + value.size(), event.id);
      if (name == "event") event.type = value;
      if (name == "data") {
        event.data += value;
        has_data = true;
      }
    }
    text.erase(0, end + 2);
    if (has_data) return event;
  }
  return std::nullopt;
}

}  // namespace turnout::control
