#include "protocol/mysql/password.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <cstdlib>

namespace turnout::protocol::mysql {
namespace {

constexpr std::size_t salt_bytes = 20;
constexpr std::size_t digest_characters = 43;

const unsigned char* octets(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

// Out of memory, or an OpenSSL without the hash: nothing can be decided then.
void must(bool holds) {
  if (!holds) std::abort();
}

template <typename Digest>
Digest digest_of(std::string_view bytes, const EVP_MD* kind) {
  Digest out{};
  unsigned int size = 0;
  must(EVP_Digest(bytes.data(), bytes.size(), out.data(), &size, kind, nullptr) == 1 && size == out.size());
  return out;
}

template <typename Digest>
Digest exclusive_or(std::string_view a, const Digest& b) {
  Digest out{};
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<std::uint8_t>(static_cast<std::uint8_t>(a[i]) ^ b[i]);
  return out;
}

std::string joined(std::string_view a, std::string_view b) {
  return std::string(a).append(b);
}

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)>;
using Memory = std::unique_ptr<BIO, decltype(&BIO_free)>;

using Transform = int (*)(EVP_PKEY_CTX*, unsigned char*, std::size_t*, const unsigned char*, std::size_t);

std::optional<std::string> oaep(EVP_PKEY* key, int (*begin)(EVP_PKEY_CTX*), Transform transform,
                                std::string_view bytes) {
  const KeyContext context(EVP_PKEY_CTX_new(key, nullptr), &EVP_PKEY_CTX_free);
  if (!context || begin(context.get()) != 1 || EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1)
    return std::nullopt;
  std::size_t size = 0;
  if (transform(context.get(), nullptr, &size, octets(bytes), bytes.size()) != 1) return std::nullopt;
  std::string out(size, '\0');
  if (transform(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size, octets(bytes), bytes.size()) != 1)
    return std::nullopt;
  out.resize(size);
  return out;
}

// ---- SHA-crypt: the names are those of its specification

std::string repeated(std::string_view digest, std::size_t size) {
  std::string out;
  while (out.size() + digest.size() <= size) out.append(digest);
  return out.append(digest.substr(0, size - out.size()));
}

std::string encoded(const Sha256& digest) {
  constexpr std::string_view alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::string out;
  const auto put = [&out, alphabet](unsigned value, int characters) {
    for (; characters > 0; --characters, value >>= 6) out += alphabet[value & 63U];
  };
  // Three bytes at a time, each time the next of three columns first.
  for (std::size_t i = 0; i < 10; ++i) {
    const std::size_t at[3] = {i, i + 10, i + 20};
    const unsigned a = digest[at[(3 - i % 3) % 3]];
    const unsigned b = digest[at[(4 - i % 3) % 3]];
    const unsigned c = digest[at[(5 - i % 3) % 3]];
    put(a << 16 | b << 8 | c, 4);
  }
  put(static_cast<unsigned>(digest[31]) << 8 | digest[30], 3);
  return out;
}

}  // namespace

Sha1 sha1(std::string_view bytes) {
  return digest_of<Sha1>(bytes, EVP_sha1());
}

Sha256 sha256(std::string_view bytes) {
  return digest_of<Sha256>(bytes, EVP_sha256());
}

Sha1 native_scramble(const Sha1& once, std::string_view nonce) {
  const Sha1 twice = sha1(view_of(once));
  return exclusive_or(view_of(once), sha1(joined(nonce, view_of(twice))));
}

std::optional<Sha1> recover_native(std::string_view scramble, const Sha1& twice, std::string_view nonce) {
  if (scramble.size() != twice.size()) return std::nullopt;
  const Sha1 once = exclusive_or(scramble, sha1(joined(nonce, view_of(twice))));
  return is_equal_secretly(view_of(sha1(view_of(once))), view_of(twice)) ? std::optional(once) : std::nullopt;
}

Sha256 sha2_scramble(const Sha256& once, std::string_view nonce) {
  const Sha256 twice = sha256(view_of(once));
  return exclusive_or(view_of(once), sha256(joined(view_of(twice), nonce)));
}

std::optional<Sha256> recover_sha2(std::string_view scramble, const Sha256& twice, std::string_view nonce) {
  if (scramble.size() != twice.size()) return std::nullopt;
  const Sha256 once = exclusive_or(scramble, sha256(joined(view_of(twice), nonce)));
  return is_equal_secretly(view_of(sha256(view_of(once))), view_of(twice)) ? std::optional(once) : std::nullopt;
}

std::optional<Sha1> parse_native_hash(std::string_view text) {
  Sha1 hash{};
  if (text.size() != 1 + 2 * hash.size() || text[0] != '*') return std::nullopt;
  for (std::size_t i = 0; i < 2 * hash.size(); ++i) {
    constexpr std::string_view digits = "0123456789ABCDEFabcdef";
    std::size_t digit = digits.find(text[1 + i]);
    if (digit == std::string_view::npos) return std::nullopt;
    if (digit > 15) digit -= 6;
    hash[i / 2] = static_cast<std::uint8_t>(hash[i / 2] * 16U + digit);
  }
  return hash;
}

std::string native_hash(std::string_view password) {
  std::string out = "*";
  for (const std::uint8_t byte : sha1(view_of(sha1(password)))) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    out += digits[byte >> 4U];
    out += digits[byte & 15U];
  }
  return out;
}

std::optional<Sha256Crypt> parse_sha256_crypt(std::string_view text) {
  Sha256Crypt kept;
  if (text.starts_with("$A$")) {
    if (text.size() != 7 + salt_bytes + digest_characters || text[6] != '$') return std::nullopt;
    std::uint32_t thousands = 0;
    for (const char c : text.substr(3, 3)) {  // hexadecimal
      constexpr std::string_view digits = "0123456789ABCDEF";
      const std::size_t digit = digits.find(c);
      if (digit == std::string_view::npos) return std::nullopt;
      thousands = thousands * 16 + static_cast<std::uint32_t>(digit);
    }
    kept.rounds = thousands * 1000;
    kept.salt = text.substr(7, salt_bytes);
    kept.digest = text.substr(7 + salt_bytes);
  } else if (text.starts_with("$5$")) {
    if (text.size() != 4 + salt_bytes + digest_characters || text[3 + salt_bytes] != '$') return std::nullopt;
    kept.salt = text.substr(3, salt_bytes);
    kept.digest = text.substr(4 + salt_bytes);
  } else {
    return std::nullopt;
  }
  return kept.rounds >= 5000 && kept.rounds <= crypt_rounds_max ? std::optional(kept) : std::nullopt;
}

std::string sha256_crypt(std::string_view password, std::string_view salt, std::uint32_t rounds) {
  const Sha256 b = sha256(joined(joined(password, salt), password));
  std::string a_text = joined(password, salt) + repeated(view_of(b), password.size());
  for (std::size_t bits = password.size(); bits > 0; bits >>= 1) {
    if ((bits & 1U) != 0)
      a_text.append(view_of(b));
    else
      a_text.append(password);
  }
  Sha256 a = sha256(a_text);

  std::string dp_text;
  for (std::size_t i = 0; i < password.size(); ++i) dp_text.append(password);
  std::string p = repeated(view_of(sha256(dp_text)), password.size());
  std::string ds_text;
  for (std::size_t i = 0; i < 16U + a[0]; ++i) ds_text.append(salt);
  const std::string s = repeated(view_of(sha256(ds_text)), salt.size());

  std::string c;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    const bool is_odd = (round & 1U) != 0;
    c.clear();
    c.append(is_odd ? std::string_view(p) : view_of(a));
    if (round % 3 != 0) c.append(s);
    if (round % 7 != 0) c.append(p);
    c.append(is_odd ? view_of(a) : std::string_view(p));
    a = sha256(c);
  }
  for (std::string* secret : {&a_text, &dp_text, &p, &c}) wipe(*secret);
  return encoded(a);
}

bool is_right_password(std::string_view password, const Sha256Crypt& kept) {
  return is_equal_secretly(sha256_crypt(password, kept.salt, kept.rounds), kept.digest);
}

std::string mixed_with_nonce(std::string_view bytes, std::string_view nonce) {
  std::string out(bytes);
  for (std::size_t i = 0; i < out.size() && !nonce.empty(); ++i)
    out[i] =
        static_cast<char>(static_cast<unsigned char>(out[i]) ^ static_cast<unsigned char>(nonce[i % nonce.size()]));
  return out;
}

std::optional<std::string> encrypt_for(std::string_view public_key_pem, std::string_view bytes) {
  constexpr std::size_t pem_bytes_max = 16'384;
  if (public_key_pem.size() > pem_bytes_max) return std::nullopt;
  const Memory memory(BIO_new_mem_buf(public_key_pem.data(), static_cast<int>(public_key_pem.size())), &BIO_free);
  must(memory != nullptr);
  const Key key(PEM_read_bio_PUBKEY(memory.get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  // A key of enormous size would only be for buying our time.
  constexpr int bits_max = 8192;
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key.get()) > bits_max)
    return std::nullopt;
  return oaep(key.get(), &EVP_PKEY_encrypt_init, &EVP_PKEY_encrypt, bytes);
}

RsaKey::~RsaKey() {
  EVP_PKEY_free(static_cast<EVP_PKEY*>(key_));
}

std::shared_ptr<const RsaKey> RsaKey::make() {
  const std::shared_ptr<RsaKey> made(new RsaKey);
  EVP_PKEY* const key = EVP_RSA_gen(2048);
  must(key != nullptr);
  made->key_ = key;
  const Memory memory(BIO_new(BIO_s_mem()), &BIO_free);
  must(memory && PEM_write_bio_PUBKEY(memory.get(), key) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  made->public_pem_.assign(data, static_cast<std::size_t>(size));
  return made;
}

std::optional<std::string> RsaKey::decrypt(std::string_view bytes) const {
  return oaep(static_cast<EVP_PKEY*>(key_), &EVP_PKEY_decrypt_init, &EVP_PKEY_decrypt, bytes);
}

}  // namespace turnout::protocol::mysql
