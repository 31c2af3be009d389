#include <utility>

#include "protocol/pg/login.h"
#include "protocol/pg/md5.h"
#include "protocol/pg/scram.h"
#include "protocol/user_lines.h"

namespace turnout::protocol::pg {
namespace {

// More than a token service hands out.
constexpr std::size_t secret_bytes_max = 4096;

std::optional<Secret> secret_from(std::string_view text, std::string& mistake) {
  Secret secret;
  if (text.size() > secret_bytes_max) {
    mistake = "secret is longer than " + std::to_string(secret_bytes_max) + " bytes";
    return std::nullopt;
  }
  if (text.empty()) return secret;
  if (is_md5_secret(text)) {
    secret.kind = Secret::Kind::md5;
  } else if (text.starts_with("SCRAM-SHA-256$")) {
    // To take a damaged verifier for a plain password would only move the error to the login, without a line number.
    if (!parse_verifier(text)) {
      mistake =
          "secret begins like a SCRAM verifier but is not SCRAM-SHA-256$iterations:salt$storedkey:serverkey; "
          "copy it again from pg_authid.rolpassword";
      return std::nullopt;
    }
    secret.kind = Secret::Kind::scram_verifier;
  } else {
    secret.kind = Secret::Kind::plain;
  }
  secret.text = text;
  return secret;
}

}  // namespace

std::optional<Secret> parse_secret(std::string_view text) {
  std::string mistake;
  auto secret = secret_from(text, mistake);
  return secret && secret->kind != Secret::Kind::none ? std::move(secret) : std::nullopt;
}

Userlist parse_userlist(std::string_view text) {
  UserLines lines = parse_user_lines(text, [](std::string_view secret) {
    std::string mistake;
    static_cast<void>(secret_from(secret, mistake));
    return mistake;
  });
  Userlist list;
  list.mistakes = std::move(lines.mistakes);
  list.users.reserve(lines.users.size());
  std::string mistake;
  for (UserLine& line : lines.users) {
    if (auto secret = secret_from(line.secret, mistake))
      list.users.push_back({std::move(line.name), std::move(*secret)});
    wipe(line.secret);
  }
  return list;
}

}  // namespace turnout::protocol::pg
