#include "protocol/mysql/kill.h"

#include <gtest/gtest.h>

#include <string>

namespace turnout::protocol::mysql {
namespace {

struct Case {
  std::string_view sql;
  std::optional<Kill> kill;
};

TEST(Kill, TextsOfClients) {
  constexpr auto query = [](std::uint64_t number) { return Kill{.connection = number, .is_query_only = true}; };
  constexpr auto connection = [](std::uint64_t number) { return Kill{.connection = number}; };
  const Case cases[] = {
      {"KILL 5", connection(5)},
      {"KILL QUERY 5", query(5)},  // Connector/J, the command line at Ctrl-C
      {"kill connection 2147483649", connection(2147483649)},
      {" \n/* why */ KiLl -- because\n hard # of it\n QUERY/**/17 ; -- end", query(17)},
      {"KILL SOFT 9;", connection(9)},
      {"KILL 18446744073709551616", connection(UINT64_MAX)},
      {std::string_view("KILL 5\0", 7), connection(5)},
      {"", {}},
      {"SELECT 5", {}},
      {"KILLS 5", {}},
      {"KILL", {}},
      {"KILL QUERY", {}},
      {"KILL 5 6", {}},
      {"KILL 5a", {}},
      {"KILL QUERY -2147483607", Kill{.connection = 2147483689, .is_query_only = true}},
      {"KILL -2147483648", Kill{.connection = 2147483648}},
      {"KILL -2147483649", {}},
      {"KILL -0", {}},
      {"KILL --5", {}},
      {"KILL 0x5", {}},
      {"KILL 5+1", {}},
      {"KILL '5'", {}},
      {"KILL @victim", {}},
      {"KILL CONNECTION_ID()", {}},
      {"KILL QUERY ID 5", {}},
      {"KILL USER app", {}},
      {"KILL ?", Kill{.is_parameter = true}},
      {"KILL QUERY ?;", Kill{.is_query_only = true, .is_parameter = true}},
      {"KILL -?", {}},
      {"KILL ??", {}},
      {"KILL 5?", {}},
      {"KILL QUERY QUERY 5", {}},
      {"KILL 5; SELECT 1", {}},
      {"KILL /* 5", {}},
      {"KILL /*! QUERY */ 5", {}},
      {"/*M! KILL */ 5", {}},
  };
  for (const Case& one : cases) EXPECT_EQ(parse_kill(one.sql), one.kill) << one.sql;
}

TEST(Kill, EveryBeginningOfATextIsRead) {
  const std::string sql = "/**/ KILL -- x\n HARD CONNECTION 123 # y\n;--";
  for (std::size_t bytes = 0; bytes <= sql.size(); ++bytes) {
    const std::string cut = sql.substr(0, bytes);  // its own memory: a sanitizer sees what is read behind it
    const auto kill = parse_kill(cut);
    EXPECT_FALSE(kill && kill->is_query_only);
  }
  EXPECT_EQ(parse_kill(sql), (Kill{.connection = 123}));
}

// An execution of `KILL ?` as a client sends it.
std::optional<std::uint64_t> killed(std::string_view type, std::string_view value, bool is_null = false) {
  std::string payload("\x17\x01\0\0\0\0\x01\0\0\0", 10);
  payload.append(1, is_null ? '\1' : '\0').append(1, '\1').append(type).append(value);
  const auto execute = parse_execute(bytes_of(payload), 1, 0);
  return execute ? killed_by(bytes_of(payload), *execute, execute->types) : std::nullopt;
}

TEST(Kill, NumbersThatComeAsAParameter) {
  using namespace std::string_view_literals;
  EXPECT_EQ(killed("\x08\0"sv, "\x05\0\0\x80\0\0\0\0"sv), 0x8000'0005U);
  EXPECT_EQ(killed("\x08\x80"sv, "\xff\xff\xff\xff\xff\xff\xff\xff"sv), UINT64_MAX);
  EXPECT_EQ(killed("\x08\0"sv, "\xff\xff\xff\xff\xff\xff\xff\xff"sv), 0xffff'ffffU);
  EXPECT_EQ(killed("\x08\0"sv, "\0\0\0\0\0\0\0\x80"sv), std::nullopt);
  EXPECT_EQ(killed("\x03\0"sv, "\x05\0\0\x80"sv), 0x8000'0005U) << "32 bits with a sign";
  EXPECT_EQ(killed("\x03\x80"sv, "\x05\0\0\x80"sv), 0x8000'0005U);
  EXPECT_EQ(killed("\x02\0"sv, "\x05\x01"sv), 0x105U);
  EXPECT_EQ(killed("\x01\x80"sv, "\xfe"sv), 254U);
  EXPECT_EQ(killed("\xfd\0"sv,
                   "\x0a"
                   "2147483650"sv),
            2147483650U);
  EXPECT_EQ(killed("\xfe\0"sv, "\x02-1"sv), 0xffff'ffffU);
  EXPECT_EQ(killed("\x0f\0"sv,
                   "\x02"
                   "5a"sv),
            std::nullopt);
  EXPECT_EQ(killed("\x0f\0"sv, "\0"sv), std::nullopt);
  EXPECT_EQ(killed("\x0f\0"sv,
                   "\x0a"
                   "1"sv),
            std::nullopt)
      << "cut";
  EXPECT_EQ(killed("\x05\0"sv, "\0\0\0\0\0\0\x14@"sv), 5U) << "what JavaScript sends";
  EXPECT_EQ(killed("\x05\0"sv, "\0\0\0\0\0\0\xf8\x7f"sv), std::nullopt) << "not a number";
  EXPECT_EQ(killed("\x05\0"sv, "\0\0\0\0\0\0\x16@"sv), std::nullopt) << "5.5";
  EXPECT_EQ(killed("\x05\0"sv, "\0\0\0\0\0\0\xf0\x7f"sv), UINT64_MAX) << "infinite";
  EXPECT_EQ(killed("\x08\0"sv, "", true), std::nullopt);
  EXPECT_EQ(killed("\x08\0"sv, ""), std::nullopt) << "sent ahead";
  EXPECT_EQ(killed("\x07\0"sv, "\0"sv), std::nullopt) << "a point in time";
}

TEST(Kill, TheCommandIsUnknownToMysqlFrom83On) {
  EXPECT_TRUE(has_process_kill(true, "10.11.19-MariaDB"));
  EXPECT_TRUE(has_process_kill(false, "5.7.44-log"));
  EXPECT_TRUE(has_process_kill(false, "8.0.36"));
  EXPECT_TRUE(has_process_kill(false, "8.2.0"));
  EXPECT_FALSE(has_process_kill(false, "8.3.0"));
  EXPECT_FALSE(has_process_kill(false, "8.4.10"));
  EXPECT_FALSE(has_process_kill(false, "9.7.4-2"));
  EXPECT_TRUE(has_process_kill(false, "who knows"));
}

}  // namespace
}  // namespace turnout::protocol::mysql
