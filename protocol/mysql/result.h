// What results are made of: definitions of columns, rows, and the number of a prepared statement.
//
// A proxy passes them on unread; it reads the answers to its own questions, and writes answers that it gives itself.
// Of binary rows only the boundaries are known here. Views into the payload. Source: MySQL "Text Resultset", "Column
// Definition", "Binary Protocol Resultset", "COM_STMT_PREPARE Response"; MariaDB "Result Set Packets"; golden files.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/mysql/capabilities.h"
#include "protocol/mysql/wire.h"

namespace turnout::protocol::mysql {

namespace type {
inline constexpr std::uint8_t tiny = 0x01;
inline constexpr std::uint8_t short_number = 0x02;
inline constexpr std::uint8_t long_number = 0x03;
inline constexpr std::uint8_t float_number = 0x04;
inline constexpr std::uint8_t double_number = 0x05;
inline constexpr std::uint8_t null = 0x06;
inline constexpr std::uint8_t timestamp = 0x07;
inline constexpr std::uint8_t long_long = 0x08;
inline constexpr std::uint8_t int24 = 0x09;
inline constexpr std::uint8_t date = 0x0a;
inline constexpr std::uint8_t time = 0x0b;
inline constexpr std::uint8_t datetime = 0x0c;
inline constexpr std::uint8_t year = 0x0d;
inline constexpr std::uint8_t text_of_variable_length = 0xfd;
}  // namespace type

struct Column {
  std::string_view catalog = "def";
  std::string_view schema, table, original_table, name, original_name;
  std::string_view extended;  // MariaDB: names of types, where extended_metadata is agreed on
  std::uint16_t collation = 45;
  std::uint32_t length = 0;
  std::uint8_t type = type::text_of_variable_length;
  std::uint16_t flags = 0;
  std::uint8_t decimals = 0;
};
// Behind a definition may be a default value (COM_FIELD_LIST); it is not read.
[[nodiscard]] std::optional<Column> parse_column(Bytes payload, Capabilities capabilities);
void put_column(std::string& payload, const Column& column, Capabilities capabilities);

// The message before definitions. Where they may be left out, it says that they are not.
void put_column_count(std::string& payload, std::uint64_t columns, Capabilities capabilities);

using Field = std::optional<std::string_view>;  // nothing: NULL
// Nothing: it has not so many fields, or more.
[[nodiscard]] std::optional<std::vector<Field>> parse_text_row(Bytes payload, std::size_t columns);
void put_text_row(std::string& payload, std::span<const Field> fields);

// Whether the payload is a row of values of these types, from its first byte to its last.
[[nodiscard]] bool is_binary_row(Bytes payload, std::span<const std::uint8_t> types);
// Past one value in binary form; false: it is not all there.
[[nodiscard]] bool skip_value(Reader& reader, std::uint8_t type);

struct Prepared {
  std::uint32_t statement = 0;
  std::uint16_t columns = 0;
  std::uint16_t parameters = 0;
  std::uint16_t warnings = 0;
  bool has_definitions = true;
};
[[nodiscard]] std::optional<Prepared> parse_prepared(Bytes payload, Capabilities capabilities);
void put_prepared(std::string& payload, const Prepared& prepared, Capabilities capabilities);

}  // namespace turnout::protocol::mysql
