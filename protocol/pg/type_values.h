// Changes the numbers (OIDs) of types and other objects in messages on their way, after a TypeMap.
//
// What is given is changed in place: a number is four bytes before and after. Walks take a body in pieces as they
// arrive: feed() returns how many bytes it is done with; those behind them must be given again with more, and are never
// more than 18. Only numbers written as text change the length, so those values are copied (copy_text_numbers).
//
// Hostile bytes: every length is held against what is left of the value around it, and only bytes that were given are
// touched. What does not fit its type is left as it is, from there to the end of that value.
// Source: PostgreSQL manual 55.7 "Message Formats"; array_send, record_send, range_send, multirange_send of the server.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "protocol/pg/type_map.h"
#include "protocol/pg/wire.h"

namespace turnout::protocol::pg {

using MutableBytes = std::span<std::uint8_t>;

struct ColumnNote {
  Oid type = 0;  // with the server's numbers
  Oid table = 0;
  std::uint16_t column = 0;
  bool is_binary = false;
};

// What to do with one value.
enum class Handling : std::uint8_t {
  leave,
  structure,     // binary, of a type in whose values numbers stand
  number,        // binary, is a number itself
  numbers,       // binary array of such
  text_numbers,  // text: a number, or an array of them
};
struct ValuePlan {
  Handling handling = Handling::leave;
  Oid type = 0;  // for `structure`
};
using ValuePlans = std::vector<ValuePlan>;

[[nodiscard]] ValuePlan plan_column(const TypeMap& map, const ColumnNote& column, bool is_binary, CatalogUse use);
// `type` with native numbers, as clients know it.
[[nodiscard]] ValuePlan plan_parameter(const TypeMap& map, Oid type, bool is_binary, CatalogUse use);

// Values with their count before them: the body of a DataRow, the second half of a Bind.
class ValuesWalk {
 public:
  // Both must outlive the walk.
  ValuesWalk(const OidTable& table, const ValuePlans& plans) : table_(&table), plans_(&plans) {}
  [[nodiscard]] std::size_t feed(MutableBytes bytes);

 private:
  struct Frame {
    TypeKind kind = TypeKind::plain;  // plain: one number of `left` bytes
    bool in_items = false;
    bool items_are_numbers = false;
    Oid inner = 0;
    std::uint32_t left = 0;  // of this value, children not counted once they have begun
  };
  std::size_t step(MutableBytes rest);
  std::size_t step_row(MutableBytes rest);
  std::size_t step_head(MutableBytes rest, Frame& frame);
  std::size_t step_item(MutableBytes rest, Frame& frame);
  std::size_t step_number(MutableBytes rest, const Frame& frame);
  void begin(const TypeShape* shape, std::uint32_t length);
  void push(Frame frame);
  void abandon(Frame& frame);

  static constexpr std::size_t depth_max = 24;  // deeper values are left as they are
  const OidTable* table_;
  const ValuePlans* plans_;
  std::uint64_t skip_ = 0;
  std::size_t depth_ = 0;
  std::uint32_t values_ = 0, value_ = 0;
  bool has_count_ = false;
  std::array<Frame, depth_max> frames_;
};

// The body of a RowDescription: notes the columns as the server told them, gives the client native numbers.
class ColumnsWalk {
 public:
  explicit ColumnsWalk(const OidTable& to_native) : table_(&to_native) {}
  [[nodiscard]] std::size_t feed(MutableBytes bytes);
  [[nodiscard]] std::vector<ColumnNote>& columns() { return columns_; }
  [[nodiscard]] bool is_done() const { return has_count_ && columns_.size() == count_; }

 private:
  const OidTable* table_;
  bool has_count_ = false, in_name_ = true;
  std::uint16_t count_ = 0;
  std::vector<ColumnNote> columns_;
};

// The body of a ParameterDescription: notes the types, gives the client native numbers.
class TypesWalk {
 public:
  explicit TypesWalk(const OidTable& to_native) : table_(&to_native) {}
  [[nodiscard]] std::size_t feed(MutableBytes bytes);
  [[nodiscard]] std::vector<Oid>& types() { return types_; }  // native
  [[nodiscard]] bool is_done() const { return has_count_ && types_.size() == count_; }

 private:
  const OidTable* table_;
  bool has_count_ = false;
  std::uint16_t count_ = 0;
  std::vector<Oid> types_;
};

// A list of types, as it follows the text in a Parse.
[[nodiscard]] std::vector<Oid> read_types(Bytes list);
void translate_types(const OidTable& table, MutableBytes list);

// Format codes with their count before them. nullopt: not all here. `used` is how many bytes they take.
[[nodiscard]] std::optional<std::vector<bool>> read_formats(Bytes bytes, std::size_t& used);
// One code stands for all, none for text.
[[nodiscard]] bool is_binary(const std::vector<bool>& formats, std::size_t at);

// Appends values (with their count) and what follows them, with the text numbers changed.
void copy_text_numbers(std::string& out, Bytes values, const OidTable& table, const ValuePlans& plans);
[[nodiscard]] bool has_text_numbers(const ValuePlans& plans);

}  // namespace turnout::protocol::pg
