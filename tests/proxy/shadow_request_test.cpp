#include "proxy/shadow_request.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace turnout::proxy {
namespace {

namespace pg = protocol::pg;

using namespace std::string_literals;

std::string query(std::string_view sql) {
  std::string out;
  pg::put_query(out, sql);
  return out;
}

std::string parse(std::string_view name, std::string_view sql, const std::vector<pg::Oid>& types = {}) {
  std::string out;
  pg::Writer writer(out);
  writer.begin('P').cstring(name).cstring(sql).u16(static_cast<std::uint16_t>(types.size()));
  for (const pg::Oid type : types) writer.u32(type);
  writer.end();
  return out;
}

// One value, in that format; one format for all columns.
std::string bind_body(std::string_view value, bool is_binary = false) {
  std::string out;
  pg::Writer(out).u16(1).u16(is_binary ? 1 : 0).u16(1).u32(static_cast<std::uint32_t>(value.size())).raw(value);
  pg::Writer(out).u16(1).u16(1);
  return out;
}

std::string bind_message(std::string_view name, std::string_view body, std::string_view portal = "") {
  std::string out;
  pg::Writer(out).begin('B').cstring(portal).cstring(name).raw(body).end();
  return out;
}

std::string execute(std::uint32_t rows_max = 0) {
  std::string out;
  pg::Writer(out).begin('E').cstring("").u32(rows_max).end();
  return out;
}

std::string describe() {
  std::string out;
  pg::Writer(out).begin('D').u8('P').cstring("").end();
  return out;
}

std::string sync() {
  std::string out;
  pg::put_empty_message(out, 'S');
  return out;
}

class Reading : public testing::Test {
 protected:
  std::optional<ShadowRequest> read(const std::string& segment) {
    return read_segment(pg::bytes_of(segment),
                        {[this](std::string_view name) {
                           const auto found = known_.find(std::string(name));
                           return found == known_.end() ? StatementPtr() : found->second;
                         },
                         [this](std::string_view content) { return registry_.intern(content); }, unnamed_});
  }
  StatementRegistry registry_;
  std::map<std::string, StatementPtr> known_{{"known", registry_.intern("SELECT 1 FROM t WHERE a = $1\0\0\0"s)}};
  std::string unnamed_;
};

TEST_F(Reading, a_simple_query) {
  const auto request = read(query("SELECT 1"));
  ASSERT_TRUE(request);
  EXPECT_TRUE(request->is_simple());
  EXPECT_EQ(request->text(), "SELECT 1");
}

TEST_F(Reading, an_unnamed_statement_with_its_values) {
  const auto request =
      read(parse("", "SELECT $1", {23}) + bind_message("", bind_body("7")) + describe() + execute() + sync());
  ASSERT_TRUE(request);
  EXPECT_FALSE(request->is_simple());
  EXPECT_EQ(request->text(), "SELECT $1");
  EXPECT_EQ(request->bind, bind_body("7"));
  EXPECT_TRUE(request->describes);
  EXPECT_TRUE(request->is_parsed_anew);
}

TEST_F(Reading, a_statement_that_is_known_by_name_and_one_that_gets_its_name_here) {
  const auto known = read(bind_message("known", bind_body("7")) + execute() + sync());
  ASSERT_TRUE(known);
  EXPECT_EQ(known->statement, known_["known"]);
  EXPECT_FALSE(known->describes);
  EXPECT_FALSE(known->is_parsed_anew);
  const auto fresh = read(parse("fresh", "SELECT 2") + bind_message("fresh", bind_body("7")) + execute() + sync());
  ASSERT_TRUE(fresh);
  ASSERT_TRUE(fresh->statement);
  EXPECT_EQ(fresh->text(), "SELECT 2");
}

TEST_F(Reading, the_unnamed_statement_of_an_earlier_segment) {
  EXPECT_FALSE(read(bind_message("", bind_body("7")) + execute() + sync())) << "there is none";
  unnamed_ = "SELECT 3\0\0\0"s;
  const auto request = read(bind_message("", bind_body("7")) + execute() + sync());
  ASSERT_TRUE(request);
  EXPECT_EQ(request->text(), "SELECT 3");
  EXPECT_FALSE(request->is_parsed_anew);
}

TEST_F(Reading, what_is_not_shadowed) {
  const std::string known = bind_message("known", bind_body("7"));
  for (const std::string& segment : {known + execute(100) + sync(), known + execute() + known + execute() + sync(),
                                     known + execute() + execute() + sync(), known + sync(), sync(), known + execute(),
                                     bind_message("stranger", bind_body("7")) + execute() + sync(),
                                     parse("a", "SELECT 1") + parse("b", "SELECT 2") + known + execute() + sync(),
                                     known + "H\0\0\0\4"s + execute() + sync(), "B\0\0\0\5x"s + sync(), ""s}) {
    EXPECT_FALSE(read(segment)) << testing::PrintToString(segment);
  }
}

TEST_F(Reading, whole_messages_cut_anywhere_are_no_crash) {
  const std::string segment = parse("", "SELECT $1") + bind_message("", bind_body("7")) + execute() + sync();
  for (std::size_t cut = 0; cut < segment.size(); ++cut) EXPECT_FALSE(read(segment.substr(0, cut)));
}

TEST(shadow_request, what_asks_for_the_plan_keeps_the_values_and_drops_the_formats_of_the_columns) {
  ShadowRequest simple;
  simple.sql = "SELECT 1";
  ASSERT_TRUE(explain_request(simple));
  EXPECT_EQ(explain_request(simple)->sql, "EXPLAIN SELECT 1");
  ShadowRequest request;
  StatementRegistry registry;
  request.statement = registry.intern("SELECT $1\0\0\0"s);
  request.bind = bind_body("a value");
  const auto asked = explain_request(request);
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->statement, nullptr);
  EXPECT_EQ(asked->text(), "EXPLAIN SELECT $1");
  EXPECT_EQ(asked->bind, request.bind.substr(0, request.bind.size() - 4) + "\0\0"s);
  for (std::size_t cut = 0; cut + 4 < request.bind.size(); ++cut) {
    ShadowRequest bad = request;
    bad.bind.resize(cut);
    EXPECT_FALSE(explain_request(bad)) << cut;
  }
}

TEST(shadow_request, settings_that_change_no_answer_do_not_travel) {
  Parameters session;
  session.set("application_name", "'x'");
  session.set("search_path", "app");
  session.set("statement_timeout", "1");
  const Parameters travels = shadow_parameters(session, 7'000);
  EXPECT_EQ(travels.find("application_name"), nullptr);
  ASSERT_NE(travels.find("search_path"), nullptr);
  EXPECT_EQ(*travels.find("statement_timeout"), "7000");
}

}  // namespace
}  // namespace turnout::proxy
