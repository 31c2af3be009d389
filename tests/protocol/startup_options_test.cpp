// What a client may write into the start-up parameter `options`, a row a case.
#include <gtest/gtest.h>

#include "protocol/pg/startup_options.h"

namespace turnout::protocol::pg {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

TEST(StartupOptions, what_a_server_would_read_there) {
  struct Row {
    std::string_view text;
    Settings settings;
  };
  for (const Row& row : {
           Row{"", {}},
           Row{"   ", {}},
           Row{"-c a=b", {{"a", "b"}}},
           Row{"-ca=b", {{"a", "b"}}},
           Row{"--a=b", {{"a", "b"}}},
           Row{"--log-duration=on", {{"log_duration", "on"}}},
           Row{" -c  a=1\t--b=2\n-c c=3 ", {{"a", "1"}, {"b", "2"}, {"c", "3"}}},
           Row{"-c a=x\\ y", {{"a", "x y"}}},
           Row{"-c a=x\\\\y", {{"a", "x\\y"}}},
           Row{"-c a=x\\", {{"a", "x\\"}}},
           Row{"-c a=", {{"a", ""}}},
           Row{"-c a=b=c", {{"a", "b=c"}}},
           Row{"-c my.setting=1", {{"my.setting", "1"}}},
           Row{"-c geqo=off -c geqo=on", {{"geqo", "off"}, {"geqo", "on"}}},
           Row{"-c a='; DROP", {}},
           Row{"-e -s -S 64 -S128 -fs -f h -t pl",
               {{"datestyle", "euro"},
                {"log_statement_stats", "true"},
                {"work_mem", "64"},
                {"work_mem", "128"},
                {"enable_seqscan", "false"},
                {"enable_hashjoin", "false"},
                {"log_planner_stats", "true"}}},
       }) {
    const StartupOptions options = parse_options(row.text);
    if (row.text == "-c a='; DROP") {
      EXPECT_TRUE(options.refusal) << "a word of its own, which is no switch";
      continue;
    }
    EXPECT_FALSE(options.refusal) << row.text;
    EXPECT_EQ(options.settings, row.settings) << row.text;
  }
}

TEST(StartupOptions, what_is_refused_is_named) {
  struct Row {
    std::string_view text, named, sqlstate;
  };
  for (const Row& row : {
           Row{"word", "word", "42601"},
           Row{"-", "-", "42601"},
           Row{"-c", "-c", "42601"},
           Row{"-c a", "a", "42601"},
           Row{"-c =b", "=b", "42601"},
           Row{"--a", "--a", "42601"},
           Row{"--=b", "--=b", "42601"},
           Row{"-D /tmp", "-D", "42601"},
           Row{"-p 1", "-p", "42601"},
           Row{"-f x", "-f x", "42601"},
           Row{"-t everything", "-t everything", "42601"},
           Row{"-ee", "-ee", "42601"},
           Row{"-c a;b=1", "a;b", "42602"},
           Row{"-c 1a=1", "1a", "42602"},
           Row{"-c a..b=1", "a..b", "42602"},
           Row{"-c a.=1", "a.", "42602"},
           Row{"-c .a=1", ".a", "42602"},
           Row{"-c a\\ b=1", "a b", "42602"},
           Row{"-c \xc3\xa4=1", "\xc3\xa4", "42602"},
           Row{"-c Log_Connections=on", "log_connections", "55P02"},
           Row{"--ignore-system-indexes=on", "ignore_system_indexes", "55P02"},
       }) {
    const StartupOptions options = parse_options(row.text);
    ASSERT_TRUE(options.refusal) << row.text;
    EXPECT_EQ(options.refusal->sqlstate, row.sqlstate) << row.text;
    EXPECT_NE(options.refusal->message.find(row.named), std::string::npos) << options.refusal->message;
  }
}

TEST(StartupOptions, lists_are_split_as_the_server_does) {
  struct Row {
    std::string_view value;
    std::vector<std::string> names;
  };
  for (const Row& row : {
           Row{"", {}},
           Row{"  ", {}},
           Row{"a", {"a"}},
           Row{" a , B,\"C d\" ", {"a", "b", "C d"}},
           Row{"\"$user\", public", {"$user", "public"}},
           Row{"$user,public", {"$user", "public"}},
           Row{"\"a\"\"b,\"", {"a\"b,"}},
           Row{"\"\"", {""}},
           Row{"'a'", {"'a'"}},
       }) {
    const auto list = split_list_value("Search_Path", row.value);
    ASSERT_TRUE(list && !list->is_malformed) << row.value;
    EXPECT_EQ(list->names, row.names) << row.value;
  }
  for (const std::string_view value : {"a b", ",", "a,", ",a", "a,,b", "\"a", "\"a\"b", "a \"b\""})
    EXPECT_TRUE(split_list_value("search_path", value)->is_malformed) << value;
  EXPECT_FALSE(split_list_value("DateStyle", "ISO, DMY"));
}

TEST(StartupOptions, every_text_has_an_answer) {
  const std::string_view alphabet = "-c=a \\eSf.";
  std::string text(5, ' ');
  for (std::size_t number = 0; number < 100'000; ++number) {
    std::size_t left = number;
    for (char& c : text) {
      c = alphabet[left % alphabet.size()];
      left /= alphabet.size();
    }
    const StartupOptions options = parse_options(text);
    for (const auto& [name, value] : options.settings) ASSERT_FALSE(refuse_setting(name)) << text;
  }
}

}  // namespace
}  // namespace turnout::protocol::pg
