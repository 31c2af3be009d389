#include "protocol/pg/scram.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>

namespace turnout::protocol::pg {
namespace {

// SHA-256 and HMAC fail only without memory or with a broken OpenSSL; to go on with a zero key would let anybody in.
void must(bool worked) {
  if (!worked) std::abort();
}

std::string_view view_of(const ScramKey& key) {
  return {static_cast<const char*>(static_cast<const void*>(key.data())), key.size()};
}

const unsigned char* octets(std::string_view text) {
  return static_cast<const unsigned char*>(static_cast<const void*>(text.data()));
}

constexpr std::string_view base64_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<std::int8_t, 256> make_base64_values() {
  std::array<std::int8_t, 256> values{};
  for (auto& value : values) value = -1;
  for (std::size_t i = 0; i < base64_digits.size(); ++i) {
    values[static_cast<std::uint8_t>(base64_digits[i])] = static_cast<std::int8_t>(i);
  }
  return values;
}
constexpr auto base64_values = make_base64_values();

// One code point from the front; nothing if it is not shortest-form UTF-8 (RFC 3629).
std::optional<char32_t> take_code_point(std::string_view& text) {
  const auto lead = static_cast<std::uint8_t>(text.front());
  const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || text.size() < length) return std::nullopt;
  constexpr std::array<std::uint8_t, 5> lead_masks{0, 0x7F, 0x1F, 0x0F, 0x07};
  char32_t point = lead & lead_masks[length];
  for (std::size_t i = 1; i < length; ++i) {
    const auto next = static_cast<std::uint8_t>(text[i]);
    if ((next & 0xC0U) != 0x80U) return std::nullopt;
    point = (point << 6U) | (next & 0x3FU);
  }
  const bool is_overlong = (length == 3 && point < 0x800) || (length == 4 && point < 0x10000);
  if (is_overlong || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) return std::nullopt;
  text.remove_prefix(length);
  return point;
}

// RFC 3454 table C.1.2.
bool is_exotic_space(char32_t point) {
  return point == 0xA0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200B) || point == 0x202F ||
         point == 0x205F || point == 0x3000;
}

// RFC 3454 table B.1. (U+200B is in both tables; it counts as a space.)
bool is_mapped_to_nothing(char32_t point) {
  return point == 0xAD || point == 0x34F || point == 0x1806 || (point >= 0x180B && point <= 0x180D) ||
         point == 0x200C || point == 0x200D || point == 0x2060 || (point >= 0xFE00 && point <= 0xFE0F) ||
         point == 0xFEFF;
}

}  // namespace

ScramKey sha256(const ScramKey& bytes) {
  ScramKey out{};
  unsigned int size = 0;
  must(EVP_Digest(bytes.data(), bytes.size(), out.data(), &size, EVP_sha256(), nullptr) == 1 && size == out.size());
  return out;
}

ScramKey hmac_sha256(std::string_view key, std::string_view text) {
  must(key.size() <= static_cast<std::size_t>(std::numeric_limits<int>::max()));
  // A null key pointer would mean "the key of last time" to HMAC().
  const std::string_view some_key = key.data() == nullptr ? std::string_view{""} : key;
  ScramKey out{};
  unsigned int size = 0;
  must(HMAC(EVP_sha256(), some_key.data(), static_cast<int>(some_key.size()), octets(text), text.size(), out.data(),
            &size) != nullptr &&
       size == out.size());
  return out;
}

ScramKey hmac_sha256(const ScramKey& key, std::string_view text) {
  return hmac_sha256(view_of(key), text);
}

ScramKey exclusive_or(const ScramKey& a, const ScramKey& b) {
  ScramKey out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(a[i] ^ b[i]);
  return out;
}

bool is_equal_secretly(const ScramKey& a, const ScramKey& b) {
  return is_equal_secretly(view_of(a), view_of(b));
}

std::optional<ScramKeys> derive_keys(std::string_view password, std::string_view salt, std::uint32_t iterations) {
  constexpr auto int_max = static_cast<std::size_t>(std::numeric_limits<int>::max());
  if (password.size() > int_max || salt.size() > int_max || iterations == 0 || iterations > int_max)
    return std::nullopt;
  std::string prepared = saslprep(password);
  ScramKey salted{};
  const int worked = PKCS5_PBKDF2_HMAC(prepared.c_str(), static_cast<int>(prepared.size()), octets(salt),
                                       static_cast<int>(salt.size()), static_cast<int>(iterations), EVP_sha256(),
                                       static_cast<int>(salted.size()), salted.data());
  OPENSSL_cleanse(prepared.data(), prepared.size());
  if (worked != 1) return std::nullopt;
  const ScramKeys keys{hmac_sha256(salted, "Client Key"), hmac_sha256(salted, "Server Key")};
  OPENSSL_cleanse(salted.data(), salted.size());
  return keys;
}

ScramVerifier mock_verifier(std::string_view user, std::string_view mock_key) {
  ScramVerifier verifier;
  verifier.salt = std::string{view_of(hmac_sha256(mock_key, "salt " + std::string{user}))}.substr(0, scram_salt_bytes);
  verifier.stored_key = hmac_sha256(mock_key, "stored " + std::string{user});
  verifier.server_key = hmac_sha256(mock_key, "server " + std::string{user});
  return verifier;
}

std::optional<ScramVerifier> derive_verifier(std::string_view user, std::string_view password,
                                             std::string_view mock_key) {
  ScramVerifier verifier = mock_verifier(user, mock_key);
  const auto keys = derive_keys(password, verifier.salt, verifier.iterations);
  if (!keys) return std::nullopt;
  verifier.stored_key = sha256(keys->client_key);
  verifier.server_key = keys->server_key;
  return verifier;
}

std::optional<ScramVerifier> parse_verifier(std::string_view text) {
  constexpr std::string_view prefix = "SCRAM-SHA-256$";
  if (!text.starts_with(prefix)) return std::nullopt;
  text.remove_prefix(prefix.size());
  const std::size_t colon = text.find(':');
  const std::size_t dollar = text.find('$');
  if (colon == std::string_view::npos || dollar == std::string_view::npos || dollar < colon) return std::nullopt;
  const std::size_t second_colon = text.find(':', dollar);
  if (second_colon == std::string_view::npos) return std::nullopt;
  const auto iterations =
      parse_iterations(text.substr(0, colon), static_cast<std::uint32_t>(std::numeric_limits<std::int32_t>::max()));
  auto salt = base64_decode(text.substr(colon + 1, dollar - colon - 1), scram_salt_bytes_max);
  const auto stored = base64_decode_key(text.substr(dollar + 1, second_colon - dollar - 1));
  const auto server = base64_decode_key(text.substr(second_colon + 1));
  if (!iterations || !salt || salt->empty() || !stored || !server) return std::nullopt;
  return ScramVerifier{*iterations, std::move(*salt), *stored, *server};
}

std::string build_verifier(const ScramVerifier& verifier) {
  return "SCRAM-SHA-256$" + std::to_string(verifier.iterations) + ":" + base64_encode(verifier.salt) + "$" +
         base64_encode(verifier.stored_key) + ":" + base64_encode(verifier.server_key);
}

std::string saslprep(std::string_view password) {
  const auto is_ascii = [](char c) { return static_cast<std::uint8_t>(c) < 0x80; };
  if (std::all_of(password.begin(), password.end(), is_ascii)) return std::string{password};
  std::string prepared;
  std::string_view left = password;
  while (!left.empty()) {
    const std::string_view before = left;
    const auto point = take_code_point(left);
    if (!point) return std::string{password};
    if (is_exotic_space(*point)) {
      prepared += ' ';
    } else if (!is_mapped_to_nothing(*point)) {
      prepared.append(before.substr(0, before.size() - left.size()));
    }
  }
  // RFC 4013 forbids an empty outcome; the server then takes the password as it was.
  return prepared.empty() ? std::string{password} : prepared;
}

std::string base64_encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = (group << 8U) | (k < count ? static_cast<std::uint8_t>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += k <= count ? base64_digits[(group >> (18U - 6U * k)) & 63U] : '=';
    }
  }
  return out;
}

std::string base64_encode(const ScramKey& key) {
  return base64_encode(view_of(key));
}

std::optional<std::string> base64_decode(std::string_view text, std::size_t bytes_max) {
  if (text.size() % 4 != 0 || text.size() / 4 * 3 > bytes_max + 2) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && text.ends_with('=')) {
    text.remove_suffix(1);
    ++padding;
  }
  std::string out;
  std::uint32_t group = 0;
  unsigned bits = 0;
  for (const char c : text) {
    const std::int8_t value = base64_values[static_cast<std::uint8_t>(c)];
    if (value < 0) return std::nullopt;
    group = (group << 6U) | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(static_cast<std::uint8_t>(group >> bits));
    }
  }
  // Left-over bits must be zero, or two texts would stand for the same bytes.
  if ((group & ((1U << bits) - 1U)) != 0 || out.size() > bytes_max) return std::nullopt;
  return out;
}

std::optional<ScramKey> base64_decode_key(std::string_view text) {
  const auto bytes = base64_decode(text, sizeof(ScramKey));
  if (!bytes || bytes->size() != sizeof(ScramKey)) return std::nullopt;
  ScramKey key{};
  std::transform(bytes->begin(), bytes->end(), key.begin(), [](char c) { return static_cast<std::uint8_t>(c); });
  return key;
}

bool is_nonce(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '!' && c <= '~' && c != ','; });
}

std::optional<std::string_view> take_attribute(std::string_view& list, char name) {
  if (list.size() < 2 || list[0] != name || list[1] != '=') return std::nullopt;
  const std::size_t comma = std::min(list.find(','), list.size());
  const std::string_view value = list.substr(2, comma - 2);
  list.remove_prefix(std::min(comma + 1, list.size()));
  return value;
}

std::optional<std::uint32_t> parse_iterations(std::string_view text, std::uint32_t max) {
  std::uint32_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stopped != end || value == 0 || value > max) return std::nullopt;
  return value;
}

}  // namespace turnout::protocol::pg
