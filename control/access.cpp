#include "control/access.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "control/exit_code.h"

namespace turnout::control {
namespace {

constexpr std::size_t user_length_max = 64;

bool equal_ignoring_case(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

std::string_view without_port(std::string_view host) {
  if (!host.empty() && host.front() == '[') {
    const auto end = host.find(']');
    return end == std::string_view::npos ? host : host.substr(1, end - 1);
  }
  return host.substr(0, host.rfind(':'));
}

bool is_address(std::string_view host) {
  const std::string text(host);
  std::array<unsigned char, 16> parsed{};
  return inet_pton(AF_INET, text.c_str(), parsed.data()) == 1 || inet_pton(AF_INET6, text.c_str(), parsed.data()) == 1;
}

std::optional<std::string_view> bearer(std::string_view authorization) {
  constexpr std::string_view scheme = "Bearer ";
  if (authorization.size() <= scheme.size()) return std::nullopt;
  if (!equal_ignoring_case(authorization.substr(0, scheme.size()), scheme)) return std::nullopt;
  return authorization.substr(scheme.size());
}

bool is_same_origin(std::string_view origin, std::string_view host) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme) && equal_ignoring_case(origin.substr(scheme.size()), host)) return true;
  }
  return false;
}

}  // namespace

Answer problem(int status, std::string_view name, std::string_view title, std::string_view detail) {
  Answer answer;
  answer.http_status = status;
  answer.exit_code = code(exit_for_status(status));
  answer.body = boost::json::object{
      {"type", "urn:turnout:problem:" + std::string(name)}, {"title", title}, {"status", status}, {"detail", detail}};
  return answer;
}

bool equal_in_constant_time(std::string_view given, std::string_view expected) {
  // Digests have one length, so the comparison says nothing about the length of the token either.
  std::array<unsigned char, SHA256_DIGEST_LENGTH> left{}, right{};
  const std::string given_text(given), expected_text(expected);
  SHA256(reinterpret_cast<const unsigned char*>(given_text.data()), given_text.size(), left.data());
  SHA256(reinterpret_cast<const unsigned char*>(expected_text.data()), expected_text.size(), right.data());
  return CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

std::optional<Answer> refuse(const HttpRequest& request, const AccessRules& rules, bool open_route) {
  if (request.host.empty()) {
    return problem(400, "no_host", "No Host header", "Send one Host header, as HTTP/1.1 asks for.");
  }
  if (!request.origin.empty() && !is_same_origin(request.origin, request.host)) {
    return problem(403, "foreign_origin", "Refused for a page of another origin",
                   "The Origin header does not name this server. Call the API from outside a browser, or from a page "
                   "that this server delivered.");
  }
  if (open_route || request.unix_uid) return std::nullopt;
  if (rules.token.empty()) {
    const auto host = without_port(request.host);
    if (is_address(host) || equal_ignoring_case(host, "localhost") || equal_ignoring_case(host, rules.listen_host)) {
      return std::nullopt;
    }
    return problem(403, "foreign_host", "Refused for this Host",
                   "Without a token only localhost and addresses are accepted as Host. Use http://127.0.0.1:PORT, or "
                   "configure control.token_file.");
  }
  const auto given = bearer(request.authorization);
  if (!given) {
    return problem(401, "no_token", "A token is needed",
                   "Send 'Authorization: Bearer TOKEN'; with the command line, --token-file FILE (the file named by "
                   "control.token_file).");
  }
  if (!equal_in_constant_time(*given, rules.token)) {
    return problem(401, "wrong_token", "The token is wrong",
                   "It is not the content of the server's control.token_file. After changing that file, reload.");
  }
  return std::nullopt;
}

std::string who(const HttpRequest& request, const AccessRules& rules) {
  std::string name = request.unix_uid ? "unix:" + std::to_string(*request.unix_uid)
                                      : std::string(rules.token.empty() ? "local" : "token");
  // The caller's own word: only told, never trusted, and it must not be able to break a line of the audit.
  std::string claimed;
  for (const char letter : request.user) {
    const auto byte = static_cast<unsigned char>(letter);
    if (std::isalnum(byte) != 0 || letter == '-' || letter == '_' || letter == '.' || letter == '@') {
      claimed.push_back(letter);
    }
    if (claimed.size() == user_length_max) break;
  }
  return claimed.empty() ? name : name + "/" + claimed;
}

}  // namespace turnout::control
