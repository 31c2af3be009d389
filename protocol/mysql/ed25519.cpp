#include "protocol/mysql/ed25519.h"

#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <memory>
#include <utility>

namespace turnout::protocol::mysql {
namespace {

using Digest = std::array<std::uint8_t, 64>;
using Half = std::array<std::uint8_t, 32>;

std::optional<Digest> sha512(std::string_view bytes) {
  Digest out{};
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), out.data(), &size, EVP_sha512(), nullptr) != 1) return std::nullopt;
  return out;
}

std::string_view view(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

// The curve -x² + y² = 1 + d x² y² over the field of p = 2^255 - 19, in projective coordinates. Every operation may
// fail for want of memory; then is_good() is false and the numbers mean nothing.
class Curve {
 public:
  Curve() : context_(BN_CTX_secure_new(), &BN_CTX_free) {
    if (!context_) return;
    BN_CTX_start(context_.get());
    p_ = number("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed");
    order_ = number("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed");
    d_ = number("52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3");
    base_x_ = number("216936d3cd6e53fec0a4e231fdd6dc5c692cc7609525a7b2c9562d608f25d51a");
    base_y_ = number("6666666666666666666666666666666666666666666666666666666666666658");
    for (BIGNUM** each : {&a_, &b_, &c_, &e_, &f_, &g_, &h_}) *each = fresh();
  }
  Curve(const Curve&) = delete;
  Curve& operator=(const Curve&) = delete;
  ~Curve() {
    if (context_) BN_CTX_end(context_.get());
  }

  [[nodiscard]] bool is_good() const { return context_ && is_good_; }

  [[nodiscard]] BIGNUM* fresh() {
    BIGNUM* const made = context_ ? BN_CTX_get(context_.get()) : nullptr;
    keep(made != nullptr);
    return made;
  }
  [[nodiscard]] BIGNUM* load(std::string_view little_endian) {
    BIGNUM* const made = fresh();
    if (made != nullptr)
      keep(BN_lebin2bn(reinterpret_cast<const unsigned char*>(little_endian.data()),
                       static_cast<int>(little_endian.size()), made) != nullptr);
    return made;
  }
  // (a * b + c) modulo the order of the base point.
  [[nodiscard]] Half multiply_add(const BIGNUM* a, const BIGNUM* b, const BIGNUM* c) {
    BIGNUM* const result = fresh();
    if (!is_good()) return {};
    keep(BN_mod_mul(result, a, b, order_, context_.get()) == 1);
    keep(BN_mod_add(result, result, c, order_, context_.get()) == 1);
    return stored(result);
  }
  // The base point `scalar` times, as the 32 bytes that stand for it.
  [[nodiscard]] Half multiply_base(const BIGNUM* scalar) {
    Point sum{fresh(), fresh(), fresh()};
    Point step{fresh(), fresh(), fresh()};
    Point spare{fresh(), fresh(), fresh()};
    if (!is_good()) return {};
    keep(become_neutral(sum) && BN_copy(step.x, base_x_) != nullptr && BN_copy(step.y, base_y_) != nullptr);
    keep(BN_one(step.z) == 1);
    for (int bit = 0; bit < 256 && is_good(); ++bit) {
      // Added in either case, and kept in one: what is done does not depend on the bit, where it is put does.
      add(spare, sum, step);
      if (BN_is_bit_set(scalar, bit) == 1) std::swap(sum, spare);
      add(spare, step, step);
      std::swap(step, spare);
    }
    return compressed(sum);
  }

 private:
  struct Point {
    BIGNUM *x, *y, *z;
  };

  void keep(bool holds) { is_good_ = is_good_ && holds; }
  bool become_neutral(Point& point) {
    BN_zero(point.x);
    return BN_one(point.y) == 1 && BN_one(point.z) == 1;
  }
  BIGNUM* number(const char* hex) {
    BIGNUM* made = fresh();
    if (made != nullptr) keep(BN_hex2bn(&made, hex) != 0);
    return made;
  }
  void multiply(BIGNUM* out, const BIGNUM* a, const BIGNUM* b) { keep(BN_mod_mul(out, a, b, p_, context_.get()) == 1); }
  void plus(BIGNUM* out, const BIGNUM* a, const BIGNUM* b) { keep(BN_mod_add(out, a, b, p_, context_.get()) == 1); }
  void minus(BIGNUM* out, const BIGNUM* a, const BIGNUM* b) { keep(BN_mod_sub(out, a, b, p_, context_.get()) == 1); }

  // Projective addition for twisted Edwards curves with a = -1; right for all pairs of points, equal ones too.
  void add(Point& out, const Point& one, const Point& two) {
    multiply(a_, one.z, two.z);
    multiply(b_, a_, a_);
    multiply(c_, one.x, two.x);
    multiply(e_, one.y, two.y);
    multiply(f_, c_, e_);
    multiply(f_, f_, d_);  // d x1 x2 y1 y2
    minus(g_, b_, f_);     // z² - that
    plus(f_, b_, f_);      // z² + that
    plus(h_, one.x, one.y);
    plus(b_, two.x, two.y);
    multiply(h_, h_, b_);
    minus(h_, h_, c_);
    minus(h_, h_, e_);  // x1 y2 + y1 x2
    multiply(h_, h_, a_);
    multiply(out.x, h_, g_);
    plus(h_, e_, c_);  // y1 y2 + x1 x2
    multiply(h_, h_, a_);
    multiply(out.y, h_, f_);
    multiply(out.z, g_, f_);
  }
  Half compressed(const Point& point) {
    if (!is_good()) return {};
    keep(BN_mod_inverse(a_, point.z, p_, context_.get()) != nullptr);
    multiply(b_, point.x, a_);
    multiply(c_, point.y, a_);
    Half out = stored(c_);
    if (is_good() && BN_is_odd(b_) == 1) out[31] |= 0x80;
    return out;
  }
  Half stored(const BIGNUM* value) {
    Half out{};
    if (is_good())
      keep(BN_bn2lebinpad(value, out.data(), static_cast<int>(out.size())) == static_cast<int>(out.size()));
    return out;
  }

  std::unique_ptr<BN_CTX, decltype(&BN_CTX_free)> context_;
  bool is_good_ = true;
  BIGNUM *p_ = nullptr, *order_ = nullptr, *d_ = nullptr, *base_x_ = nullptr, *base_y_ = nullptr;
  BIGNUM *a_ = nullptr, *b_ = nullptr, *c_ = nullptr, *e_ = nullptr, *f_ = nullptr, *g_ = nullptr, *h_ = nullptr;
};

std::optional<Digest> secret_of(std::string_view password) {
  auto secret = sha512(password);
  if (!secret) return std::nullopt;
  (*secret)[0] &= 248;
  (*secret)[31] &= 127;
  (*secret)[31] |= 64;
  return secret;
}

}  // namespace

std::optional<std::string> ed25519_public_key(std::string_view password) {
  auto secret = secret_of(password);
  Curve curve;
  if (!secret) return std::nullopt;
  const Half key = curve.multiply_base(curve.load(view(secret->data(), 32)));
  OPENSSL_cleanse(secret->data(), secret->size());
  return curve.is_good() ? std::optional(std::string(view(key.data(), key.size()))) : std::nullopt;
}

std::optional<std::string> sign_ed25519(std::string_view password, std::string_view nonce) {
  auto secret = secret_of(password);
  Curve curve;
  if (!secret) return std::nullopt;
  const BIGNUM* const key = curve.load(view(secret->data(), 32));
  const Half public_key = curve.multiply_base(key);
  const auto once = sha512(std::string(view(secret->data() + 32, 32)).append(nonce));
  OPENSSL_cleanse(secret->data(), secret->size());
  if (!once) return std::nullopt;
  // The digest has 512 bits; multiply_base takes 256: reduced by the order first.
  const BIGNUM* const wide = curve.load(view(once->data(), once->size()));
  const BIGNUM* const zero = curve.load(std::string_view("\0", 1));
  const BIGNUM* const one = curve.load(std::string_view("\1", 1));
  if (!curve.is_good()) return std::nullopt;
  const Half reduced = curve.multiply_add(wide, one, zero);
  const BIGNUM* const r = curve.load(view(reduced.data(), reduced.size()));
  const Half commitment = curve.multiply_base(r);
  std::string challenge(view(commitment.data(), commitment.size()));
  challenge.append(view(public_key.data(), public_key.size())).append(nonce);
  const auto hash = sha512(challenge);
  if (!hash) return std::nullopt;
  const BIGNUM* const k = curve.load(view(hash->data(), hash->size()));
  if (!curve.is_good()) return std::nullopt;
  const Half response = curve.multiply_add(k, key, r);
  if (!curve.is_good()) return std::nullopt;
  return std::string(view(commitment.data(), commitment.size())).append(view(response.data(), response.size()));
}

}  // namespace turnout::protocol::mysql
