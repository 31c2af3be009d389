#include "conf/address.h"

#include <algorithm>

namespace turnout::conf {
namespace {

// sockaddr_un::sun_path less its terminating zero; a longer path would be cut by the kernel's interface.
constexpr std::size_t unix_path_bytes_max = 107;
constexpr std::size_t host_bytes_max = 253;  // RFC 1035 names

Parsed<Address> refuse(std::string_view text, std::string_view why) {
  return {{}, "\"" + std::string(text) + "\" is not an address: " + std::string(why)};
}

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

// Digits, and after '%' the name of an interface (fe80::1%eth0). Whether it is one address, the system will say.
bool is_ipv6(std::string_view host) {
  const auto percent = host.find('%');
  const auto digits = host.substr(0, percent);
  const auto zone = percent == std::string_view::npos ? std::string_view{} : host.substr(percent + 1);
  return digits.find(':') != std::string_view::npos && std::ranges::all_of(zone, is_host_character) &&
         std::ranges::all_of(digits, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
         });
}

Parsed<Address> parse_unix(std::string_view text, std::string_view path) {
  if (path.empty() || path.front() != '/') return refuse(text, "write an absolute path, unix:/run/turnout/app.sock");
  if (path.size() > unix_path_bytes_max) return refuse(text, "a socket's path has at most 107 bytes");
  return {{{}, 0, std::string(path)}, {}};
}

// The host as written and where the port begins; an empty host is a refusal whose reason is in `why`.
std::string_view split_host(std::string_view text, std::string_view& port, std::string_view& why) {
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos || close + 1 >= text.size() || text[close + 1] != ':') {
      why = "write an IPv6 address as [::1]:5432";
      return {};
    }
    port = text.substr(close + 2);
    const auto host = text.substr(1, close - 1);
    if (!is_ipv6(host)) {
      why = "write an IPv6 address as [::1]:5432";
      return {};
    }
    return host;
  }
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    why = "the port is missing; write host:port, such as 127.0.0.1:5432, or unix:/path";
    return {};
  }
  port = text.substr(colon + 1);
  const auto host = text.substr(0, colon);
  if (host.find(':') != std::string_view::npos) {
    why = "write an IPv6 address in brackets, [::1]:5432";
  } else if (host.empty() || host == "*") {
    why = "name the host; for every interface write 0.0.0.0:port and [::]:port";
  } else if (host.size() > host_bytes_max || !std::ranges::all_of(host, is_host_character)) {
    why = "the host has characters that no host name has";
  }
  return why.empty() ? host : std::string_view{};
}

bool is_wildcard(std::string_view host) {
  return host == "0.0.0.0" || host == "::";
}

// One spelling for what is certainly the same host.
std::string canonical_host(std::string_view host) {
  std::string text(host);
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text == "localhost" ? "127.0.0.1" : text;
}

}  // namespace

std::string Address::text() const {
  if (is_unix()) return "unix:" + unix_path;
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return (is_ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Parsed<Address> parse_address(std::string_view text) {
  constexpr std::string_view unix_prefix = "unix:";
  if (text.starts_with(unix_prefix)) return parse_unix(text, text.substr(unix_prefix.size()));
  if (text.find("://") != std::string_view::npos) return refuse(text, "write host:port, not a URL");
  if (text.starts_with('/')) return refuse(text, "a unix socket is written unix:/path");
  std::string_view port_text;
  std::string_view why;
  const auto host = split_host(text, port_text, why);
  if (!why.empty()) return refuse(text, why);
  const auto port = parse_count(port_text);
  if (!port.is_ok() || port.value == 0 || port.value > 65'535)
    return refuse(text, "the port is a number from 1 to 65535");
  return {{std::string(host), static_cast<std::uint16_t>(port.value), {}}, {}};
}

bool is_local(const Address& address) {
  if (address.is_unix()) return true;
  const auto host = canonical_host(address.host);
  // "127.example.org" is a name, not a loopback address: only digits and dots count.
  const bool is_numeric = std::ranges::all_of(host, [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
  return host == "::1" || (is_numeric && host.starts_with("127."));
}

bool is_numeric(const Address& address) {
  if (address.is_unix()) return false;
  if (address.host.find(':') != std::string::npos) return is_ipv6(address.host);
  std::size_t parts = 0;
  std::string_view rest = address.host;
  while (true) {
    const auto dot = rest.find('.');
    const auto number = parse_count(rest.substr(0, dot));
    if (!number.is_ok() || number.value > 255) return false;
    ++parts;
    if (dot == std::string_view::npos) return parts == 4;
    rest = rest.substr(dot + 1);
  }
}

bool overlaps(const Address& a, const Address& b) {
  if (a.is_unix() || b.is_unix()) return a.unix_path == b.unix_path;
  if (a.port != b.port) return false;
  return is_wildcard(a.host) || is_wildcard(b.host) || canonical_host(a.host) == canonical_host(b.host);
}

}  // namespace turnout::conf
