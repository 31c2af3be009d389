// MariaDB's client_ed25519: a signature of the server's 32 random bytes with a key made of the password.
//
// It is Ed25519 (RFC 8032) except that the password, of any length, stands where the 32 bytes of the private key are;
// so the signature cannot be had from OpenSSL's, whose keys have 32 bytes. The curve is done here with its big numbers:
// a few milliseconds a login, in a time that depends on the secret. Not for signing what a stranger chooses at will:
// a server that asks gets one signature a connection. Source: RFC 8032; MariaDB "Authentication Plugin - ed25519";
// golden file client_ed25519.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace turnout::protocol::mysql {

inline constexpr std::size_t ed25519_nonce_bytes = 32;
// 64 bytes. Nothing: OpenSSL refused (no memory).
[[nodiscard]] std::optional<std::string> sign_ed25519(std::string_view password, std::string_view nonce);
// 32 bytes: what the server keeps (in base64, without its '=').
[[nodiscard]] std::optional<std::string> ed25519_public_key(std::string_view password);

}  // namespace turnout::protocol::mysql
