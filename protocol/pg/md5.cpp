#include "protocol/pg/md5.h"

#include <openssl/evp.h>

#include <algorithm>

namespace turnout::protocol::pg {
namespace {

constexpr std::string_view prefix = "md5";
constexpr std::size_t hex_digits = 32;

std::optional<std::string> prefixed_hex_md5(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_md5(), nullptr) != 1) return std::nullopt;
  std::string out{prefix};
  for (unsigned int i = 0; i < size; ++i) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += digits[digest[i] >> 4U];
    out += digits[digest[i] & 15U];
  }
  return out;
}

}  // namespace

bool is_md5_secret(std::string_view text) {
  if (text.size() != prefix.size() + hex_digits || !text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::optional<std::string> md5_secret(std::string_view user, std::string_view password) {
  return prefixed_hex_md5(std::string{password}.append(user));
}

std::optional<std::string> md5_answer(std::string_view secret, const std::array<std::uint8_t, 4>& salt) {
  if (!is_md5_secret(secret)) return std::nullopt;
  std::string text{secret.substr(prefix.size())};
  for (const std::uint8_t byte : salt) text += static_cast<char>(byte);
  return prefixed_hex_md5(text);
}

}  // namespace turnout::protocol::pg
