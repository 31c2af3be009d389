// Definitions, rows and prepared statements of real servers: read, cut at every byte, and written again.
#include "protocol/mysql/result.h"

#include <gtest/gtest.h>

#include "protocol/mysql/reply.h"
#include "tests/protocol_mysql/replay.h"

namespace turnout::protocol::mysql {
namespace {

using test::all_golden;
using test::from_hex;
using test::Golden;
using test::GoldenPacket;
using test::Replay;
using Kind = Exchange::Kind;

struct Counts {
  std::size_t columns = 0, text_rows = 0, binary_rows = 0, prepared = 0;
};

void check_column(const Golden& golden, Bytes payload, std::vector<std::uint8_t>& types) {
  const auto column = parse_column(payload, golden.capabilities());
  ASSERT_TRUE(column) << golden.what();
  EXPECT_EQ(column->catalog, "def");
  types.push_back(column->type);
  std::string again;
  put_column(again, *column, golden.capabilities());
  // Behind it COM_FIELD_LIST has a default.
  EXPECT_EQ(again, text(payload).substr(0, again.size())) << golden.what();
  for (std::size_t cut = 0; cut < again.size(); ++cut)
    EXPECT_FALSE(parse_column(payload.first(cut), golden.capabilities()));
}

void check_row(const Golden& golden, Bytes payload, bool is_binary, const std::vector<std::uint8_t>& types) {
  if (is_binary) {
    EXPECT_TRUE(is_binary_row(payload, types)) << golden.what();
    for (std::size_t cut = 0; cut < payload.size(); ++cut) EXPECT_FALSE(is_binary_row(payload.first(cut), types));
    return;
  }
  const auto fields = parse_text_row(payload, types.size());
  ASSERT_TRUE(fields) << golden.what();
  std::string again;
  put_text_row(again, *fields);
  EXPECT_EQ(again, text(payload));
  for (std::size_t cut = 0; cut < payload.size(); ++cut) EXPECT_FALSE(parse_text_row(payload.first(cut), types.size()));
  EXPECT_FALSE(parse_text_row(payload, types.size() + 1));
}

void check(const Golden& golden, Counts& counts) {
  Replay replay(golden.capabilities(), golden.status());
  std::vector<std::uint8_t> types;
  for (const GoldenPacket& packet : golden.packets) {
    if (packet.from_client) {
      if (packet.header().number != 0 || command_of(packet.payload()[0])) replay.from_client(packet);
      continue;
    }
    const auto received = replay.from_server(packet);
    const Command command = received.entry.command;
    const bool is_binary = command == Command::statement_execute || command == Command::statement_fetch;
    if (received.kind == Kind::columns) types.clear();
    if (received.kind == Kind::column) {
      ++counts.columns;
      check_column(golden, packet.payload(), types);
    } else if (received.kind == Kind::row) {
      ++(is_binary ? counts.binary_rows : counts.text_rows);
      // What definitions were left out, or are of another command, is not known here.
      const bool is_known =
          golden.name.find("metadata") == std::string::npos && golden.name.find("extended") == std::string::npos;
      if (is_known) check_row(golden, packet.payload(), is_binary, types);
    } else if (received.kind == Kind::prepared) {
      ++counts.prepared;
      const auto prepared = parse_prepared(packet.payload(), golden.capabilities());
      ASSERT_TRUE(prepared);
      std::string again;
      put_prepared(again, *prepared, golden.capabilities());
      EXPECT_EQ(again, text(packet.payload())) << golden.what();
      for (std::size_t cut = 0; cut < 9; ++cut)
        EXPECT_FALSE(parse_prepared(packet.payload().first(cut), golden.capabilities()));
    }
  }
}

TEST(Result, OfRealServers) {
  Counts counts;
  for (const Golden& golden : all_golden())
    if (golden.is_conversation()) check(golden, counts);
  EXPECT_GE(counts.columns, 200U);
  EXPECT_GE(counts.text_rows, 100U);
  EXPECT_GE(counts.binary_rows, 50U);
  EXPECT_GE(counts.prepared, 30U);
}

TEST(Result, ValuesEndWhereTheirTypeSays) {
  struct Case {
    std::uint8_t type;
    const char* value;
  };
  const Case cases[] = {
      {type::tiny, "01"},
      {type::short_number, "0102"},
      {type::year, "e207"},
      {type::long_number, "01020304"},
      {type::int24, "01020304"},
      {type::float_number, "01020304"},
      {type::double_number, "0102030405060708"},
      {type::long_long, "0102030405060708"},
      {type::date, "04e2070102"},
      {type::datetime, "0be207010203040501000000"},
      {type::timestamp, "00"},
      {type::time, "080000000000010203"},
      {type::text_of_variable_length, "03616263"},
      {0xf6, "03312e35"},  // NEWDECIMAL
      {0xfc, "fc010061"},  // BLOB
      {0xf5, "027b7d"},    // JSON
  };
  for (const auto& [value_type, hex] : cases) {
    const std::string value = from_hex(hex);
    const std::uint8_t types[] = {value_type, type::tiny, type::null};
    const std::string row = from_hex("0000") + value + "\x07";
    EXPECT_TRUE(is_binary_row(bytes_of(row), types)) << int{value_type};
    EXPECT_FALSE(is_binary_row(bytes_of(row + "x"), types)) << int{value_type};
    for (std::size_t cut = 0; cut < row.size(); ++cut) EXPECT_FALSE(is_binary_row(bytes_of(row).first(cut), types));
  }
  const std::uint8_t two[] = {type::long_long, type::text_of_variable_length};
  EXPECT_TRUE(is_binary_row(bytes_of(from_hex("000c")), two)) << "both NULL";
  EXPECT_FALSE(is_binary_row(bytes_of(from_hex("010c")), two));
  EXPECT_FALSE(is_binary_row(bytes_of(from_hex("0004feffffffffffffffff")), two)) << "a length that is not there";
}

TEST(Result, OursAreWhatAClientCanRead) {
  const Capabilities capabilities = capability::deprecate_eof | capability::optional_metadata;
  Exchange client;
  client.begin(capabilities, 2);
  Exchange::Entry entry;
  entry.command = Command::query;
  client.sent(entry);
  std::string stream;
  std::string payload;
  std::uint8_t number = 1;
  const auto flush = [&] {
    number = put_message(stream, number, payload);
    payload.clear();
  };
  put_column_count(payload, 2, capabilities);
  flush();
  for (const char* name : {"one", "two"}) {
    Column column;
    column.name = name;
    put_column(payload, column, capabilities);
    flush();
  }
  const Field fields[] = {"1", std::nullopt};
  put_text_row(payload, fields);
  flush();
  Ok ok;
  ok.ends_rows = true;
  put_ok(payload, ok, capabilities);
  flush();
  std::vector<Kind> kinds;
  for (Bytes left = bytes_of(stream); !left.empty();) {
    Header header;
    ASSERT_TRUE(read_header(left, header));
    kinds.push_back(client.received(header, left.subspan(header_bytes, header.payload)).kind);
    left = left.subspan(header.total());
  }
  EXPECT_EQ(kinds, (std::vector<Kind>{Kind::columns, Kind::column, Kind::column, Kind::row, Kind::end}));
  EXPECT_TRUE(client.is_safe_point());
}

}  // namespace
}  // namespace turnout::protocol::mysql
