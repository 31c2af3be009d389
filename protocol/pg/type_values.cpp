#include "protocol/pg/type_values.h"

#include <algorithm>

namespace turnout::protocol::pg {

namespace {

constexpr std::uint32_t null_length = UINT32_MAX;
constexpr std::uint32_t array_head_bytes = 12, array_dimension_bytes = 8, array_dimensions_max = 6;

constexpr Oid int8_type = 20, int2_type = 21, int4_type = 23, oid_type = 26, oidvector_type = 30;
constexpr Oid int2_array = 1005, int4_array = 1007, int8_array = 1016, oid_array = 1028;
constexpr Oid regproc_type = 24, regprocedure_type = 2202, regclass_type = 2205, regtype_type = 2206;
constexpr Oid regclass_array = 2210, regtype_array = 2211, regrole_type = 4096, regnamespace_type = 4089;

void store_u32(std::uint8_t* at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<std::uint8_t>(value >> (24 - 8 * i));
}

void translate_at(const OidTable& table, std::uint8_t* at) {
  store_u32(at, table.translate(load_u32(at)));
}

enum class NumberType { none, one, several };

NumberType number_type(Oid type, bool is_binary) {
  switch (type) {
    case oid_type:
      return NumberType::one;
    case oid_array:
    case oidvector_type:
      return NumberType::several;
    case regproc_type:
    case regprocedure_type:
    case regclass_type:
    case regtype_type:
    case regrole_type:
    case regnamespace_type:
      return is_binary ? NumberType::one : NumberType::none;  // text is a name
    case regclass_array:
    case regtype_array:
      return is_binary ? NumberType::several : NumberType::none;
    default:
      return NumberType::none;
  }
}

ValuePlan plan_number(NumberType kind, bool is_binary) {
  if (kind == NumberType::none) return {};
  if (!is_binary) return {Handling::text_numbers, 0};
  return {kind == NumberType::one ? Handling::number : Handling::numbers, 0};
}

// Of the system's tables and views all; of a user's none but tableoid; of an expression only where the text is about
// objects. Numbers of one server hardly ever mean two things: they come from one counter.
bool is_object_number(const ColumnNote& column, CatalogUse use) {
  constexpr std::uint16_t tableoid = 0xFFFA;  // -6
  if (column.table == 0) return use != CatalogUse::none;
  return column.table < first_user_oid || column.column == tableoid;
}

}  // namespace

ValuePlan plan_column(const TypeMap& map, const ColumnNote& column, bool is_binary, CatalogUse use) {
  if (const NumberType kind = number_type(column.type, is_binary); kind != NumberType::none) {
    return is_object_number(column, use) ? plan_number(kind, is_binary) : ValuePlan{};
  }
  if (!is_binary || map.to_native.shape(column.type) == nullptr) return {};
  return {Handling::structure, column.type};
}

ValuePlan plan_parameter(const TypeMap& map, Oid type, bool is_binary, CatalogUse use) {
  if (use == CatalogUse::catalogs) {
    // Drivers also give numbers as integers.
    NumberType kind = number_type(type, is_binary);
    if (type == regclass_type || type == regtype_type || type == int2_type || type == int4_type || type == int8_type)
      kind = NumberType::one;
    if (type == regclass_array || type == regtype_array || type == int2_array || type == int4_array ||
        type == int8_array)
      kind = NumberType::several;
    if (kind != NumberType::none) return plan_number(kind, is_binary);
  }
  if (!is_binary || map.to_server.shape(type) == nullptr) return {};
  return {Handling::structure, type};
}

// ---- values --------------------------------------------------------------------------------------------------------

std::size_t ValuesWalk::feed(MutableBytes bytes) {
  std::size_t at = 0;
  while (at < bytes.size()) {
    const std::size_t used = step(bytes.subspan(at));
    if (used == 0) break;
    at += used;
  }
  return at;
}

std::size_t ValuesWalk::step(MutableBytes rest) {
  if (skip_ != 0) {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(skip_, rest.size()));
    skip_ -= part;
    return part;
  }
  while (depth_ != 0 && frames_[depth_ - 1].left == 0) --depth_;
  if (depth_ == 0) return step_row(rest);
  Frame& frame = frames_[depth_ - 1];
  if (frame.kind == TypeKind::plain) return step_number(rest, frame);
  const std::size_t used = frame.in_items ? step_item(rest, frame) : step_head(rest, frame);
  // It may have found nothing that fits, and want the rest of the value skipped.
  return used == 0 && skip_ != 0 ? step(rest) : used;
}

std::size_t ValuesWalk::step_row(MutableBytes rest) {
  if (!has_count_) {
    if (rest.size() < 2) return 0;
    values_ = load_u16(rest.data());
    has_count_ = true;
    return 2;
  }
  if (value_ == values_) return rest.size();  // what follows the values
  if (rest.size() < 4) return 0;
  const std::uint32_t length = load_u32(rest.data());
  const std::size_t at = value_++;
  if (length == null_length || length == 0) return 4;
  const ValuePlan plan = at < plans_->size() ? (*plans_)[at] : ValuePlan{};
  switch (plan.handling) {
    case Handling::structure:
      begin(table_->shape(plan.type), length);
      break;
    case Handling::number:
      push({TypeKind::plain, false, false, 0, length});
      break;
    case Handling::numbers:
      push({TypeKind::array, false, true, 0, length});
      break;
    case Handling::leave:
    case Handling::text_numbers:
      skip_ = length;
      break;
  }
  return 4;
}

void ValuesWalk::begin(const TypeShape* shape, std::uint32_t length) {
  if (shape == nullptr)
    skip_ = length;
  else
    push({shape->kind, false, false, shape->inner, length});
}

void ValuesWalk::push(Frame frame) {
  const bool is_number = frame.kind == TypeKind::plain;
  if (depth_ == depth_max || (is_number && frame.left != 2 && frame.left != 4 && frame.left != 8)) {
    skip_ = frame.left;
    return;
  }
  frames_[depth_++] = frame;
}

// The rest of the value is not what its type says.
void ValuesWalk::abandon(Frame& frame) {
  skip_ = frame.left;
  frame.left = 0;
}

std::size_t ValuesWalk::step_number(MutableBytes rest, const Frame& frame) {
  const std::uint32_t length = frame.left;
  if (rest.size() < length) return 0;
  if (length == 2) {  // drivers make small integers of small numbers
    const Oid changed = table_->translate(load_u16(rest.data()));
    if (changed <= INT16_MAX) {
      rest[0] = static_cast<std::uint8_t>(changed >> 8);
      rest[1] = static_cast<std::uint8_t>(changed);
    }
  } else if (length == 4 || load_u32(rest.data()) == 0) {
    translate_at(*table_, rest.data() + (length - 4));
  }
  --depth_;
  return length;
}

std::size_t ValuesWalk::step_head(MutableBytes rest, Frame& frame) {
  const std::uint32_t needed = frame.kind == TypeKind::array ? array_head_bytes : frame.kind == TypeKind::range ? 1 : 4;
  if (frame.left < needed) {
    abandon(frame);
    return 0;
  }
  if (rest.size() < needed) return 0;
  frame.left -= needed;
  frame.in_items = true;
  if (frame.kind != TypeKind::array) return needed;
  const std::uint32_t dimensions = load_u32(rest.data());
  const Oid element = load_u32(rest.data() + 8);
  if (dimensions > array_dimensions_max || dimensions * array_dimension_bytes > frame.left) {
    abandon(frame);
    return needed;
  }
  translate_at(*table_, rest.data() + 8);
  frame.inner = element;
  skip_ = dimensions * array_dimension_bytes;
  frame.left -= dimensions * array_dimension_bytes;
  if (frame.items_are_numbers || table_->shape(element) != nullptr) return needed;
  skip_ += frame.left;  // nothing of interest in its elements
  frame.left = 0;
  return needed;
}

std::size_t ValuesWalk::step_item(MutableBytes rest, Frame& frame) {
  const bool is_record = frame.kind == TypeKind::composite;
  const std::uint32_t needed = is_record ? 8 : 4;
  if (frame.left < needed) {
    abandon(frame);
    return 0;
  }
  if (rest.size() < needed) return 0;
  const Oid inner = is_record ? load_u32(rest.data()) : frame.inner;
  const std::uint32_t length = load_u32(rest.data() + (needed - 4));
  if (is_record) translate_at(*table_, rest.data());
  frame.left -= needed;
  if (length == null_length || length == 0) return needed;
  if (length > frame.left) {
    abandon(frame);
    return needed;
  }
  frame.left -= length;
  if (frame.items_are_numbers)
    push({TypeKind::plain, false, false, 0, length});
  else
    begin(table_->shape(inner), length);
  return needed;
}

// ---- descriptions --------------------------------------------------------------------------------------------------

std::size_t ColumnsWalk::feed(MutableBytes bytes) {
  constexpr std::size_t fields_bytes = 18;  // table, column, type, length, modifier, format
  std::size_t at = 0;
  if (!has_count_) {
    if (bytes.size() < 2) return 0;
    count_ = load_u16(bytes.data());
    has_count_ = true;
    at = 2;
  }
  while (at < bytes.size() && columns_.size() < count_) {
    const MutableBytes rest = bytes.subspan(at);
    if (in_name_) {
      const auto zero = std::find(rest.begin(), rest.end(), std::uint8_t{0});
      in_name_ = zero == rest.end();
      at += static_cast<std::size_t>(zero - rest.begin()) + (in_name_ ? 0u : 1u);
      continue;
    }
    if (rest.size() < fields_bytes) return at;
    std::uint8_t* const fields = rest.data();
    columns_.push_back({load_u32(fields + 6), load_u32(fields), load_u16(fields + 4), load_u16(fields + 16) == 1});
    translate_at(*table_, fields);
    translate_at(*table_, fields + 6);
    in_name_ = true;
    at += fields_bytes;
  }
  return columns_.size() == count_ ? bytes.size() : at;
}

std::size_t TypesWalk::feed(MutableBytes bytes) {
  std::size_t at = 0;
  if (!has_count_) {
    if (bytes.size() < 2) return 0;
    count_ = load_u16(bytes.data());
    has_count_ = true;
    at = 2;
  }
  for (; types_.size() < count_; at += 4) {
    if (bytes.size() - at < 4) return at;
    translate_at(*table_, bytes.data() + at);
    types_.push_back(load_u32(bytes.data() + at));
  }
  return bytes.size();
}

std::vector<Oid> read_types(Bytes list) {
  std::vector<Oid> types;
  Reader reader(list);
  const auto count = reader.u16();
  for (std::size_t i = 0; count && i < *count; ++i) {
    const auto type = reader.u32();
    if (!type) break;
    types.push_back(*type);
  }
  return types;
}

void translate_types(const OidTable& table, MutableBytes list) {
  if (list.size() < 2) return;
  const std::size_t count = std::min<std::size_t>(load_u16(list.data()), (list.size() - 2) / 4);
  for (std::size_t i = 0; i < count; ++i) translate_at(table, list.data() + 2 + 4 * i);
}

std::optional<std::vector<bool>> read_formats(Bytes bytes, std::size_t& used) {
  if (bytes.size() < 2) return std::nullopt;
  const std::size_t count = load_u16(bytes.data());
  used = 2 + 2 * count;
  if (bytes.size() < used) return std::nullopt;
  std::vector<bool> formats(count);
  for (std::size_t i = 0; i < count; ++i) formats[i] = load_u16(bytes.data() + 2 + 2 * i) == 1;
  return formats;
}

bool is_binary(const std::vector<bool>& formats, std::size_t at) {
  if (formats.size() == 1) return formats[0];
  return at < formats.size() && formats[at];
}

// ---- numbers in text -----------------------------------------------------------------------------------------------

bool has_text_numbers(const ValuePlans& plans) {
  return std::any_of(plans.begin(), plans.end(),
                     [](const ValuePlan& plan) { return plan.handling == Handling::text_numbers; });
}

void copy_text_numbers(std::string& out, Bytes values, const OidTable& table, const ValuePlans& plans) {
  Reader reader(values);
  Writer writer(out);
  const auto count = reader.u16();
  if (!count) {
    writer.raw(text(values));
    return;
  }
  writer.u16(*count);
  for (std::size_t i = 0; i < *count; ++i) {
    const Bytes here = reader.rest();
    const auto length = reader.u32();
    const auto value = length && *length != null_length ? reader.take(*length) : std::optional<Bytes>(Bytes{});
    if (!length || !value) {
      writer.raw(text(here));  // cut short: as it is
      return;
    }
    if (i >= plans.size() || plans[i].handling != Handling::text_numbers || *length == null_length) {
      writer.u32(*length).raw(text(*value));
      continue;
    }
    const std::string changed = translate_text(text(*value), table);
    writer.u32(static_cast<std::uint32_t>(changed.size())).raw(changed);
  }
  writer.raw(text(reader.rest()));
}

}  // namespace turnout::protocol::pg
