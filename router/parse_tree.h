// The parser's answer (libpg_query's JSON) as a flat table of values to walk. Owns the JSON; every view into it lives
// as long as the tree.
//
// Always true: reading does not recurse, so a hostile nesting costs memory in proportion to the text and no stack; a
// child's index is greater than its parent's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace turnout::router {

class ParseTree {
 public:
  enum class Kind : std::uint8_t { object, array, string, other };

  // A value with the key it has in its object ("" in an array). Strings are as written between the quotes.
  struct Value {
    std::string_view key;
    std::string_view raw;
    std::uint32_t next = 0;   // sibling, 0 = none
    std::uint32_t first = 0;  // child, 0 = none
    std::uint32_t depth = 0;
    Kind kind = Kind::other;
  };

  // nullopt: not JSON as the parser writes it.
  [[nodiscard]] static std::optional<ParseTree> read(std::string json);

  [[nodiscard]] const Value& root() const { return values_[1]; }
  [[nodiscard]] const Value* first_child(const Value& of) const { return of.first == 0 ? nullptr : &values_[of.first]; }
  [[nodiscard]] const Value* next_sibling(const Value& of) const { return of.next == 0 ? nullptr : &values_[of.next]; }
  [[nodiscard]] const Value* child(const Value& of, std::string_view key) const;
  [[nodiscard]] std::string text(const Value& string) const;                          // unescaped
  [[nodiscard]] std::string child_text(const Value& of, std::string_view key) const;  // "" where there is none
  [[nodiscard]] std::uint32_t depth_max() const { return depth_max_; }

 private:
  std::string json_;
  std::vector<Value> values_;
  std::uint32_t depth_max_ = 0;
};

}  // namespace turnout::router
