#include "protocol/mysql/result.h"

namespace turnout::protocol::mysql {
namespace {

constexpr std::uint8_t null_field = 0xfb;
constexpr std::uint8_t fixed_bytes = 12;  // of a definition, behind its names

bool has(Capabilities set, Capabilities one) {
  return (set & one) != 0;
}

}  // namespace

std::optional<Column> parse_column(Bytes payload, Capabilities capabilities) {
  Reader reader(payload);
  Column column;
  for (std::string_view* name :
       {&column.catalog, &column.schema, &column.table, &column.original_table, &column.name, &column.original_name}) {
    const auto value = reader.counted();
    if (!value) return std::nullopt;
    *name = *value;
  }
  if (has(capabilities, capability::extended_metadata)) {
    const auto extended = reader.counted();
    if (!extended) return std::nullopt;
    column.extended = *extended;
  }
  const auto fixed = reader.length();
  const auto collation = reader.u16();
  const auto length = reader.u32();
  const auto type = reader.u8();
  const auto flags = reader.u16();
  const auto decimals = reader.u8();
  const auto filler = reader.u16();
  if (fixed != fixed_bytes || !collation || !length || !type || !flags || !decimals || !filler) return std::nullopt;
  column.collation = *collation;
  column.length = *length;
  column.type = *type;
  column.flags = *flags;
  column.decimals = *decimals;
  return column;
}

void put_column(std::string& payload, const Column& column, Capabilities capabilities) {
  Writer writer(payload);
  writer.counted(column.catalog).counted(column.schema).counted(column.table).counted(column.original_table);
  writer.counted(column.name).counted(column.original_name);
  if (has(capabilities, capability::extended_metadata)) writer.counted(column.extended);
  writer.u8(fixed_bytes).u16(column.collation).u32(column.length).u8(column.type).u16(column.flags);
  writer.u8(column.decimals).zeros(2);
}

void put_column_count(std::string& payload, std::uint64_t columns, Capabilities capabilities) {
  Writer(payload).length(columns);
  if (has(capabilities, capability::optional_metadata | capability::cached_metadata)) Writer(payload).u8(1);
}

std::optional<std::vector<Field>> parse_text_row(Bytes payload, std::size_t columns) {
  std::vector<Field> fields;
  Reader reader(payload);
  for (std::size_t i = 0; i < columns; ++i) {
    if (!reader.is_empty() && reader.rest().front() == null_field) {
      static_cast<void>(reader.u8());
      fields.emplace_back(std::nullopt);
      continue;
    }
    const auto value = reader.counted();
    if (!value) return std::nullopt;
    fields.emplace_back(*value);
  }
  return reader.is_empty() ? std::optional(std::move(fields)) : std::nullopt;
}

void put_text_row(std::string& payload, std::span<const Field> fields) {
  Writer writer(payload);
  for (const Field& field : fields) {
    if (field)
      writer.counted(*field);
    else
      writer.u8(null_field);
  }
}

bool skip_value(Reader& reader, std::uint8_t type) {
  switch (type) {
    case type::null:
      return true;
    case type::tiny:
      return reader.u8().has_value();
    case type::short_number:
    case type::year:
      return reader.u16().has_value();
    case type::long_number:
    case type::float_number:
    case type::int24:
      return reader.u32().has_value();
    case type::double_number:
    case type::long_long:
      return reader.u64().has_value();
    case type::timestamp:
    case type::date:
    case type::time:
    case type::datetime:
      return reader.short_counted().has_value();
    default:
      return reader.counted().has_value();
  }
}

// 0x00, one bit a column for NULL (behind two that are not used), the values that are there.
bool is_binary_row(Bytes payload, std::span<const std::uint8_t> types) {
  Reader reader(payload);
  if (reader.u8() != 0x00) return false;
  const auto nulls = reader.take((types.size() + 9) / 8);
  if (!nulls) return false;
  for (std::size_t i = 0; i < types.size(); ++i) {
    const unsigned byte = (*nulls)[(i + 2) / 8];
    const bool is_null = (byte >> ((i + 2) % 8) & 1U) != 0;
    if (!is_null && !skip_value(reader, types[i])) return false;
  }
  return reader.is_empty();
}

std::optional<Prepared> parse_prepared(Bytes payload, Capabilities capabilities) {
  Reader reader(payload);
  const auto first = reader.u8();
  const auto statement = reader.u32();
  const auto columns = reader.u16();
  const auto parameters = reader.u16();
  if (first != 0x00 || !statement || !columns || !parameters) return std::nullopt;
  Prepared prepared{*statement, *columns, *parameters, 0, true};
  if (reader.u8()) prepared.warnings = reader.u16().value_or(0);
  if (has(capabilities, capability::optional_metadata)) prepared.has_definitions = reader.u8() != 0;
  return prepared;
}

void put_prepared(std::string& payload, const Prepared& prepared, Capabilities capabilities) {
  Writer writer(payload);
  writer.u8(0).u32(prepared.statement).u16(prepared.columns).u16(prepared.parameters).u8(0).u16(prepared.warnings);
  if (has(capabilities, capability::optional_metadata)) writer.u8(prepared.has_definitions ? 1 : 0);
}

}  // namespace turnout::protocol::mysql
