// What is said to a server connection so that it has a session's settings, and what a transaction undoes of them.
#include <gtest/gtest.h>

#include "proxy/parameters.h"
#include "proxy/setting_journal.h"

namespace turnout::proxy {
namespace {

Parameters of(std::initializer_list<std::pair<const char*, const char*>> entries) {
  Parameters parameters;
  for (const auto& [name, value] : entries) EXPECT_TRUE(parameters.set(name, value)) << name;
  return parameters;
}

TEST(Parameters, OnlyTheDifferenceIsSaid) {
  const Parameters from = of({{"a", "1"}, {"b", "2"}, {"c", "3"}});
  EXPECT_EQ(Parameters::difference(from, from), "");
  EXPECT_EQ(Parameters::difference(from, of({{"A", "1"}, {"b", "4"}, {"d", "5"}})), "SET b TO 4;RESET c;SET d TO 5;");
}

TEST(Parameters, RolesAreLeftFirstAndTakenLast) {
  const Parameters from = of({{"role", "r"}, {"work_mem", "1"}});
  EXPECT_EQ(Parameters::difference(from, from), "");
  EXPECT_EQ(Parameters::difference(from, of({{"role", "r"}, {"work_mem", "2"}})),
            "RESET ROLE;SET work_mem TO 2;SET ROLE r;");
  EXPECT_EQ(Parameters::difference(from, of({{"session_authorization", "u"}, {"role", "s"}})),
            "RESET ROLE;RESET work_mem;SET SESSION AUTHORIZATION u;SET ROLE s;");
  EXPECT_EQ(Parameters::difference(of({{"session_authorization", "u"}, {"role", "s"}}), {}),
            "RESET SESSION AUTHORIZATION;RESET ROLE;");
}

TEST(Parameters, TheEncodingGoesByItself) {
  const Parameters latin = of({{"client_encoding", "latin1"}, {"a", "1"}});
  EXPECT_EQ(Parameters::encoding_difference({}, latin), "SET client_encoding TO latin1");
  EXPECT_EQ(Parameters::difference({}, latin), "SET a TO 1;");
  EXPECT_EQ(Parameters::encoding_difference(latin, {}), "RESET client_encoding");
  EXPECT_EQ(Parameters::encoding_difference(latin, latin), "");
}

TEST(Parameters, ResetAllKeepsTheRole) {
  Parameters parameters = of({{"role", "r"}, {"a", "1"}});
  parameters.reset_all(of({{"timezone", "'UTC'"}, {"role", "none"}}));
  EXPECT_EQ(parameters, of({{"role", "r"}, {"timezone", "'UTC'"}}));
}

TEST(Parameters, ListsOfNamesStayOneString) {
  const auto path = Parameters::from_string("search_path", "public, \"it's\"");
  ASSERT_TRUE(path);
  EXPECT_EQ(Parameters::difference({}, of({{"search_path", path->c_str()}})),
            "SELECT pg_catalog.set_config('search_path','public, \"it''s\"',false);");
  EXPECT_EQ(Parameters::list_of(*path), "public, \"it's\"");
  EXPECT_EQ(Parameters::list_of("a, b"), "a, b");
  EXPECT_EQ(Parameters::from_string("work_mem", "it's"), "'it''s'");
  EXPECT_FALSE(Parameters::from_string("search_path", "a,,b"));
}

TEST(Parameters, NoNameThatNeedsQuotesAndNotTooMany) {
  Parameters parameters;
  EXPECT_FALSE(parameters.set("a; DROP TABLE t", "1"));
  EXPECT_FALSE(parameters.set("1a", "1"));
  EXPECT_FALSE(parameters.set("", "1"));
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(parameters.set("a" + std::to_string(i), "1"));
  EXPECT_FALSE(parameters.set("one_more", "1"));
  EXPECT_TRUE(parameters.set("a7", "2"));
}

class Journal : public testing::Test {
 protected:
  void set(const char* value) {
    journal_.note_change(now_, now_);
    ASSERT_TRUE(now_.set("a", value));
  }
  void restore(const KeptSettings* before) {
    if (before != nullptr) now_ = before->session;
  }
  [[nodiscard]] std::string value() const {
    const std::string* const found = now_.find("a");
    return found != nullptr ? *found : "";
  }
  SettingJournal journal_;
  Parameters now_;
};

TEST_F(Journal, RollbackUndoesWhatTheTransactionSetAndNoMore) {
  set("1");
  journal_.commit();
  set("2");
  set("3");
  restore(journal_.rollback());
  EXPECT_EQ(value(), "1");
  journal_.commit();
  EXPECT_EQ(journal_.rollback(), nullptr);
}

TEST_F(Journal, SavepointsNest) {
  set("1");
  ASSERT_TRUE(journal_.savepoint("s"));
  set("2");
  ASSERT_TRUE(journal_.savepoint("t"));
  ASSERT_TRUE(journal_.savepoint("s"));
  set("3");
  restore(journal_.rollback_to("s"));
  EXPECT_EQ(value(), "2");
  journal_.release("s");
  restore(journal_.rollback_to("s"));
  EXPECT_EQ(value(), "1");
  set("4");
  restore(journal_.rollback_to("s"));
  EXPECT_EQ(value(), "1");
  restore(journal_.rollback());
  EXPECT_EQ(value(), "");
}

TEST_F(Journal, ASavepointBeforeTheFirstSet) {
  ASSERT_TRUE(journal_.savepoint("s"));
  EXPECT_EQ(journal_.rollback_to("s"), nullptr);
  set("1");
  journal_.release("s");
  restore(journal_.rollback());
  EXPECT_EQ(value(), "");
  EXPECT_EQ(journal_.rollback_to("nobody"), nullptr);
}

TEST_F(Journal, SavepointsHaveALimit) {
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(journal_.savepoint("s"));
  EXPECT_FALSE(journal_.savepoint("s"));
}

}  // namespace
}  // namespace turnout::proxy
