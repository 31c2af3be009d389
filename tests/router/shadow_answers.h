// Answers of a server, built by hand: rows as they come over the wire.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "protocol/pg/wire.h"
#include "router/shadow_answer.h"
#include "router/shadow_rows.h"

namespace turnout::router {

using Value = std::optional<std::string>;
struct TestColumn {
  std::string name;
  std::uint32_t type = 25;
  bool is_binary = false;
};

inline std::string row_message(const std::vector<Value>& values) {
  std::string out;
  protocol::pg::Writer writer(out);
  writer.begin('D').u16(static_cast<std::uint16_t>(values.size()));
  for (const Value& value : values) {
    writer.u32(value ? static_cast<std::uint32_t>(value->size()) : UINT32_MAX);
    if (value) writer.raw(*value);
  }
  writer.end();
  return out;
}

inline std::string description(const std::vector<TestColumn>& columns) {
  std::string out;
  protocol::pg::Writer writer(out);
  writer.begin('T').u16(static_cast<std::uint16_t>(columns.size()));
  for (const TestColumn& column : columns)
    writer.cstring(column.name)
        .u32(777)
        .u16(3)
        .u32(column.type)
        .u16(65535)
        .u32(UINT32_MAX)
        .u16(column.is_binary ? 1 : 0);
  writer.end();
  return out;
}

inline std::string ready(char status = 'I') {
  std::string out;
  protocol::pg::put_ready_for_query(out, status);
  return out;
}

inline std::string complete(const std::string& tag = "SELECT") {
  std::string out;
  protocol::pg::put_command_complete(out, tag);
  return out;
}

inline std::string failure(const std::string& sqlstate) {
  std::string out;
  protocol::pg::put_error(out, {"ERROR", sqlstate, "words", {}, {}});
  return out;
}

inline std::string answer(const std::vector<std::vector<Value>>& rows, const std::vector<TestColumn>& columns = {}) {
  std::string out = columns.empty() ? std::string() : description(columns);
  for (const auto& row : rows) out += row_message(row);
  return out + complete() + ready();
}

inline AnswerReader reader_of(const std::string& bytes, const AnswerReader::Limits& limits = {}) {
  AnswerReader reader(ShapeHash(42), limits);
  reader.feed(protocol::pg::bytes_of(bytes));
  return reader;
}

inline KeptAnswer kept(const std::vector<std::vector<Value>>& rows, const std::vector<TestColumn>& columns) {
  const AnswerReader reader = reader_of(answer(rows, columns), {1 << 20, 1 << 20});
  return {reader.digest(), reader.columns(), reader.kept(), reader.keeps_rows()};
}

}  // namespace turnout::router
