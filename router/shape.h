// The shape of a SQL text: what is left when literals become one placeholder, comments and white space go, and unquoted
// words are folded. Two texts of one shape have the same parse tree up to the values in it, hence the same verdict.
//
// One pass, no allocation; the text is only looked at during the call. Keyed by a secret seed: texts come from clients,
// who must not be able to choose two that collide. Lexical rules: PostgreSQL manual 4.1, standard_conforming_strings
// on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace turnout::router {

__extension__ typedef unsigned __int128 Wide;  // ISO C++ has no name for it

// A chain of keyed multiply-and-fold steps in two independent lanes, 128 bits together.
class ShapeHash {
 public:
  explicit ShapeHash(std::uint64_t seed);

  void mix(std::uint64_t word) {
    const auto product = static_cast<Wide>(low_ ^ word) * key_low_;
    low_ = static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
    high_ = (high_ + word) * key_high_;
    high_ ^= high_ >> 32;
  }
  void mix_text(std::string_view text);
  void mix_bytes(std::string_view bytes);  // the same for who needs no tokens: cheaper

  [[nodiscard]] std::uint64_t low() const { return low_; }
  [[nodiscard]] std::uint64_t high() const { return high_; }

 private:
  std::uint64_t key_low_;
  std::uint64_t key_high_;
  std::uint64_t low_;
  std::uint64_t high_;
};

enum class ShapeKind : std::uint8_t {
  known,  // the hash stands for the text
  own,  // valid, but its meaning may hang on a literal (U&"…" UESCAPE '…') or on line breaks: not to be remembered
  malformed,  // unterminated literal or comment, or a zero byte: no server takes it
};

struct Shape {
  ShapeKind kind = ShapeKind::malformed;
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  std::uint32_t tokens = 0;  // without literals and commas: bounds how deep a parser can be made to nest

  friend bool operator==(const Shape& left, const Shape& right) {
    return left.kind == right.kind && left.low == right.low && left.high == right.high;
  }
};

[[nodiscard]] Shape shape_of(std::string_view sql, const ShapeHash& start);

// The text but for the digits of its numbers, hashed eight bytes at a time: a tenth of what its shape costs, and finer.
// Always true: texts of one outline have one shape. `sql` holds no zero byte, as no text of the protocol does.
[[nodiscard]] ShapeHash outline_of(std::string_view sql, const ShapeHash& start);

// The shape as people read it: literals are ?, comments are gone, unquoted words are folded; at most `bytes_max`, then
// "…". Holds nothing that came from a literal, so it may be shown and logged. Allocates: not for the path.
[[nodiscard]] std::string shape_text(std::string_view sql, std::size_t bytes_max);

}  // namespace turnout::router
