// SCRAM-SHA-256 arithmetic (RFC 5802, RFC 7677) on OpenSSL: values in, values out. The conversations that use it are in
// client_login.cpp and server_login.cpp.
//
//   SaltedPassword = PBKDF2(SASLprep(password), salt, iterations)
//   ClientKey = HMAC(SaltedPassword, "Client Key")    StoredKey = H(ClientKey)
//   ServerKey = HMAC(SaltedPassword, "Server Key")
//   ClientProof = ClientKey XOR HMAC(StoredKey, AuthMessage)    ServerSignature = HMAC(ServerKey, AuthMessage)
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/pg/login.h"

namespace turnout::protocol::pg {

using ScramKey = std::array<std::uint8_t, 32>;

inline constexpr std::uint32_t scram_iterations_default = 4096;
inline constexpr std::size_t scram_salt_bytes = 16;
inline constexpr std::size_t scram_salt_bytes_max = 256;

// What a server keeps of a password: enough to check a proof, not enough to make one.
struct ScramVerifier {
  std::uint32_t iterations = scram_iterations_default;
  std::string salt;  // raw bytes
  ScramKey stored_key{};
  ScramKey server_key{};
};

struct ScramKeys {
  ScramKey client_key{};
  ScramKey server_key{};
};

// "SCRAM-SHA-256$iterations:salt$stored:server", as in pg_authid.rolpassword.
[[nodiscard]] std::optional<ScramVerifier> parse_verifier(std::string_view text);
[[nodiscard]] std::string build_verifier(const ScramVerifier& verifier);

// Empty only if OpenSSL refuses (a FIPS policy on short passwords, no memory). Costs `iterations` hashes.
[[nodiscard]] std::optional<ScramKeys> derive_keys(std::string_view password, std::string_view salt,
                                                   std::uint32_t iterations);

// The verifier that ClientLogin uses for a plain secret: the salt depends on (mock_key, user) only, so it is stable,
// and the same that an unknown user of that name is shown. Whoever holds plain secrets should call this once when they
// are loaded and give ClientLogin the verifier: it saves 4096 hashes in each login.
[[nodiscard]] std::optional<ScramVerifier> derive_verifier(std::string_view user, std::string_view password,
                                                           std::string_view mock_key);
// For a user who does not exist, or whose secret cannot do SCRAM. Its keys match no password.
[[nodiscard]] ScramVerifier mock_verifier(std::string_view user, std::string_view mock_key);

[[nodiscard]] ScramKey sha256(const ScramKey& bytes);
[[nodiscard]] ScramKey hmac_sha256(std::string_view key, std::string_view text);
[[nodiscard]] ScramKey hmac_sha256(const ScramKey& key, std::string_view text);
[[nodiscard]] ScramKey exclusive_or(const ScramKey& a, const ScramKey& b);
using protocol::is_equal_secretly;
[[nodiscard]] bool is_equal_secretly(const ScramKey& a, const ScramKey& b);

// RFC 4013 as far as it matters between Postgres programs: ASCII goes through; text that is not UTF-8 is used as it is
// (as libpq and the server do); in other text the characters "mapped to nothing" vanish and the exotic spaces become a
// space. What is left out: NFKC. A password that NFKC changes (e.g. a ligature, a decomposed accent) must be written in
// the userlist in its normal form, or better as a verifier.
[[nodiscard]] std::string saslprep(std::string_view password);

[[nodiscard]] std::string base64_encode(std::string_view bytes);
[[nodiscard]] std::string base64_encode(const ScramKey& key);
// Strict: padding in place, no white space, at most bytes_max out.
[[nodiscard]] std::optional<std::string> base64_decode(std::string_view text, std::size_t bytes_max);
[[nodiscard]] std::optional<ScramKey> base64_decode_key(std::string_view text);

// Printable ASCII without a comma: what RFC 5802 allows in a nonce.
[[nodiscard]] bool is_nonce(std::string_view text);
// Takes "x=value" from the front of a comma separated list, with the comma; empty if the next attribute is another.
[[nodiscard]] std::optional<std::string_view> take_attribute(std::string_view& list, char name);
// A decimal without sign or leading blanks, 1..max.
[[nodiscard]] std::optional<std::uint32_t> parse_iterations(std::string_view text, std::uint32_t max);

}  // namespace turnout::protocol::pg
