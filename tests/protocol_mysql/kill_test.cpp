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
  constexpr auto query = [](std::uint64_t number) { return Kill{number, true}; };
  constexpr auto connection = [](std::uint64_t number) { return Kill{number, false}; };
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
      {"KILL QUERY -2147483607", Kill{2147483689, true}},
      {"KILL -2147483648", Kill{2147483648, false}},
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
  EXPECT_EQ(parse_kill(sql), (Kill{123, false}));
}

}  // namespace
}  // namespace turnout::protocol::mysql
