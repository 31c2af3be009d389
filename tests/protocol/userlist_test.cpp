#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/pg/login.h"

namespace turnout::protocol::pg {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view verifier =
    "SCRAM-SHA-256$4096:r5BwfXu+fncWcOzPY0WmtA==$CGOrLRijhmij29Zxzoe0HmxuypayCPDfDhmar1uASmE=:"
    "d5FFIfTbJZevKa3JrkD/hr8xMNNb7F/InY9PON5CilE=";

TEST(Userlist, good_lines) {
  struct Row {
    std::string text, name;
    Secret::Kind kind;
    std::string secret;
  };
  using Kind = Secret::Kind;
  for (const Row& row : {
           Row{R"("ann" "secret")", "ann", Kind::plain, "secret"},
           Row{"\"ann\" \"secret\"\n", "ann", Kind::plain, "secret"},
           Row{"\"ann\" \"secret\"\r\n", "ann", Kind::plain, "secret"},
           Row{"\xEF\xBB\xBF\"ann\" \"secret\"\n", "ann", Kind::plain, "secret"},
           Row{"  \t\"ann\"\t\t\"secret\"  \n", "ann", Kind::plain, "secret"},
           Row{R"("a""b" """")", "a\"b", Kind::plain, "\""},
           Row{R"("ann" "")", "ann", Kind::none, ""},
           Row{R"("ann" "md54d45974e13472b5a0be3533de4666414")", "ann", Kind::md5,
               "md54d45974e13472b5a0be3533de4666414"},
           Row{R"("ann" "md5short")", "ann", Kind::plain, "md5short"},
           Row{"\"ann\" \"" + std::string(verifier) + "\"", "ann", Kind::scram_verifier, std::string(verifier)},
           Row{R"("ann" "secret" "rest" is ignored)", "ann", Kind::plain, "secret"},
           Row{"; comment\n# comment\n\n   \n  ;\n\"ann\" \"a;b#c\"", "ann", Kind::plain, "a;b#c"},
           Row{"\"gr\u00fcn\" \"p\u00e4ss\"", "gr\u00fcn", Kind::plain, "p\u00e4ss"},
       }) {
    const Userlist list = parse_userlist(row.text);
    EXPECT_THAT(list.mistakes, IsEmpty()) << row.text;
    ASSERT_EQ(list.users.size(), 1U) << row.text;
    EXPECT_EQ(list.users[0].name, row.name);
    EXPECT_EQ(list.users[0].secret.kind, row.kind) << row.text;
    EXPECT_EQ(list.users[0].secret.text.view(), row.secret);
  }
}

TEST(Userlist, mistakes_have_line_column_and_reason) {
  struct Row {
    std::string text, where, what;
  };
  for (const Row& row : {
           Row{"ann \"secret\"", "1:1: ", "must begin with a double quote"},
           Row{"\n  ann", "2:3: ", "must begin with a double quote"},
           Row{"\"ann", "1:1: ", "no closing double quote"},
           Row{"\"ann\"", "1:6: ", "a blank and the secret"},
           Row{"\"ann\" secret", "1:7: ", "secret must begin"},
           Row{"\"ann\" ", "1:7: ", "secret must begin"},
           Row{"\"ann\" \"sec", "1:7: ", "secret has no closing"},
           Row{"\"ann\"\"secret\"", "1:14: ", "a blank and the secret"},  // "" is a quote inside the name
           Row{"\"ann\" \"sec\"ret\"", "1:12: ", "right after the closing quote"},
           Row{"\"\" \"secret\"", "1:3: ", "1 to 255 bytes"},
           Row{"\"" + std::string(256, 'x') + "\" \"s\"", "1:259: ", "1 to 255 bytes"},
           Row{"\"ann\" \"" + std::string(4097, 'x') + "\"", "1:4106: ", "longer than 4096"},
           Row{"\"ann\" \"SCRAM-SHA-256$4096:abc\"", "1:31: ", "pg_authid"},
           Row{"\"ann\" \"a\"\n\"ann\" \"b\"", "2:10: ", "listed twice"},
           Row{std::string("\"a\0n\" \"b\"", 9), "1:1: ", "zero byte"},
       }) {
    const Userlist list = parse_userlist(row.text);
    ASSERT_EQ(list.mistakes.size(), 1U) << row.text;
    EXPECT_THAT(list.mistakes[0], testing::StartsWith(row.where));
    EXPECT_THAT(list.mistakes[0], HasSubstr(row.what));
  }
}

TEST(Userlist, all_mistakes_at_once_and_the_good_lines_too) {
  const Userlist list = parse_userlist("bad\n\"ann\" \"a\"\nworse\n\"bob\" \"b\"\n");
  EXPECT_EQ(list.users.size(), 2U);
  EXPECT_THAT(list.mistakes, ElementsAre(testing::StartsWith("1:1:"), testing::StartsWith("3:1:")));
}

TEST(Userlist, a_file_of_another_kind_does_not_give_a_mistake_a_line_for_ever) {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "not a userlist\n";
  const Userlist list = parse_userlist(text);
  EXPECT_EQ(list.mistakes.size(), 51U);
  EXPECT_THAT(list.mistakes.back(), HasSubstr("more mistakes"));
}

TEST(Userlist, every_cut_of_a_good_line_is_a_mistake_or_nothing) {
  const std::string line = R"("ann" "secret")";
  for (std::size_t size = 1; size < line.size(); ++size) {
    const Userlist list = parse_userlist(line.substr(0, size));
    EXPECT_THAT(list.users, IsEmpty()) << size;
    EXPECT_EQ(list.mistakes.size(), 1U) << size;
  }
}

}  // namespace
}  // namespace turnout::protocol::pg
