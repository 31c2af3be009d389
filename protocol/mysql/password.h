// The arithmetic of MySQL's password schemes, on OpenSSL: values in, values out. Conversations: login.h.
//
//   native   scramble = SHA1(password) ^ SHA1(nonce + SHA1(SHA1(password)));          kept: SHA1(SHA1(password))
//   sha2     scramble = SHA256(password) ^ SHA256(SHA256(SHA256(password)) + nonce);   kept, in memory only: SHA256
//   twice crypt    SHA-crypt (5000 rounds and more) of the password itself, which the client then has to send: inside
//   TLS, or
//            encrypted with RSA after being mixed with the nonce;                      kept: "$A$005$…", "$5$…"
// Whoever hears a scramble and knows what is kept learns the hash of the first step, which logs in elsewhere without
// the password (recover_…). Source: MySQL "Native Authentication", "Caching_sha2_password information"; "Unix crypt
// using SHA-256 and SHA-512" (specification of SHA-crypt); golden files login_….
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/bytes.h"
#include "protocol/secret_bytes.h"

namespace turnout::protocol::mysql {

using Sha1 = std::array<std::uint8_t, 20>;
using Sha256 = std::array<std::uint8_t, 32>;

[[nodiscard]] Sha1 sha1(std::string_view bytes);
[[nodiscard]] Sha256 sha256(std::string_view bytes);

template <std::size_t Size>
[[nodiscard]] std::string_view view_of(const std::array<std::uint8_t, Size>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), Size};
}

// `once`: SHA1(password). An empty password has no scramble: the response is empty.
[[nodiscard]] Sha1 native_scramble(const Sha1& once, std::string_view nonce);
// What SHA1(password) must be if the scramble is right; it is, if SHA1 of it is `twice`.
[[nodiscard]] std::optional<Sha1> recover_native(std::string_view scramble, const Sha1& twice, std::string_view nonce);

// `once`: SHA256(password).
[[nodiscard]] Sha256 sha2_scramble(const Sha256& once, std::string_view nonce);
[[nodiscard]] std::optional<Sha256> recover_sha2(std::string_view scramble, const Sha256& twice,
                                                 std::string_view nonce);

// "*" and 40 hex digits: what the server keeps for mysql_native_password.
[[nodiscard]] std::optional<Sha1> parse_native_hash(std::string_view text);
[[nodiscard]] std::string native_hash(std::string_view password);

// What the server keeps for caching_sha2_password ("$A$005$", 20 bytes of salt, 43 characters) and for sha256_password
// ("$5$", 20 bytes of salt, "$", 43 characters).
struct Sha256Crypt {
  std::uint32_t rounds = 5000;
  std::string salt;    // 20 bytes, none of them zero or '$'
  std::string digest;  // 43 characters
};
inline constexpr std::uint32_t crypt_rounds_max = 100'000;
[[nodiscard]] std::optional<Sha256Crypt> parse_sha256_crypt(std::string_view text);
[[nodiscard]] std::string sha256_crypt(std::string_view password, std::string_view salt, std::uint32_t rounds);
[[nodiscard]] bool is_right_password(std::string_view password, const Sha256Crypt& kept);

// A password, zero-terminated, mixed with the nonce over and over: both ways.
[[nodiscard]] std::string mixed_with_nonce(std::string_view bytes, std::string_view nonce);
// RSA with OAEP (SHA-1). Nothing: not a key, or the password is too long for it.
[[nodiscard]] std::optional<std::string> encrypt_for(std::string_view public_key_pem, std::string_view bytes);

// The pair of keys that a proxy shows to clients without TLS. Made once (some tenths of a second), shared, never
// changed.
class RsaKey {
 public:
  RsaKey(const RsaKey&) = delete;
  RsaKey& operator=(const RsaKey&) = delete;
  ~RsaKey();
  [[nodiscard]] static std::shared_ptr<const RsaKey> make();  // 2048 bits
  [[nodiscard]] const std::string& public_pem() const { return public_pem_; }
  [[nodiscard]] std::optional<std::string> decrypt(std::string_view bytes) const;

 private:
  RsaKey() = default;
  void* key_ = nullptr;  // EVP_PKEY
  std::string public_pem_;
};

using turnout::protocol::wipe;

}  // namespace turnout::protocol::mysql
