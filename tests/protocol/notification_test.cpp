#include "protocol/pg/notification.h"

#include <gtest/gtest.h>

#include <string>

namespace turnout::protocol::pg {
namespace {

using Strings = std::vector<std::string>;

TEST(Notification, IsReadAsItWasWritten) {
  std::string out;
  put_notification(out, {77, "jobs", "42"});
  const Bytes body = bytes_of(out).subspan(header_bytes);
  const auto told = parse_notification(body);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->pid, 77U);
  EXPECT_EQ(told->channel, "jobs");
  EXPECT_EQ(told->payload, "42");
  for (std::size_t cut = 0; cut < body.size(); ++cut) EXPECT_FALSE(parse_notification(body.first(cut))) << cut;
  EXPECT_FALSE(parse_notification(bytes_of(out + "x").subspan(header_bytes)));
}

TEST(Notification, FirstColumn) {
  const auto row = [](std::string_view bytes) { return first_column(bytes_of(bytes)); };
  using namespace std::string_view_literals;
  EXPECT_EQ(row("\0\1\0\0\0\2ab"sv), "ab");
  EXPECT_EQ(row("\0\1\0\0\0\0"sv), "");
  EXPECT_FALSE(row("\0\1\377\377\377\377"sv));  // NULL
  EXPECT_FALSE(row("\0\0"sv));
  EXPECT_FALSE(row("\0\1\0\0\0\3ab"sv));
  EXPECT_FALSE(row(""sv));
}

TEST(Notification, IdentifiersAreQuotedAndCutAsTheServerDoes) {
  EXPECT_EQ(quote_identifier("a\"b; DROP"), "\"a\"\"b; DROP\"");
  EXPECT_EQ(cut_identifier(std::string(63, 'x')), std::string(63, 'x'));
  EXPECT_EQ(cut_identifier(std::string(64, 'x')), std::string(63, 'x'));
  // The 63rd byte is the first of two: the character goes.
  EXPECT_EQ(cut_identifier(std::string(62, 'x') + "\xc3\xa4"), std::string(62, 'x'));
  EXPECT_EQ(cut_identifier(std::string(61, 'x') + "\xc3\xa4y"), std::string(61, 'x') + "\xc3\xa4");
}

TEST(UnlistenLog, CommitsWhatIsLeft) {
  UnlistenLog log;
  log.unlisten("a");
  log.unlisten(std::string(70, 'b'));
  const auto changes = log.take();
  EXPECT_FALSE(changes.all);
  EXPECT_EQ(changes.channels, (Strings{"a", std::string(63, 'b')}));
  EXPECT_TRUE(log.is_empty());
}

TEST(UnlistenLog, RollbackToASavepointUndoesWhatCameBehindIt) {
  UnlistenLog log;
  log.unlisten("a");
  log.savepoint("s", "savepoint");
  log.unlisten("b");
  log.savepoint("s", "savepoint");  // hides the first
  log.unlisten_all();
  log.savepoint("s", "rollback to");
  log.unlisten("c");
  log.savepoint("s", "rollback to");
  log.savepoint("s", "release");
  log.unlisten("d");
  const auto changes = log.take();
  EXPECT_FALSE(changes.all);
  EXPECT_EQ(changes.channels, (Strings{"a", "b", "d"}));
}

TEST(UnlistenLog, ASavepointBeforeTheFirstOneUndoesAll) {
  UnlistenLog log;
  log.savepoint("s", "savepoint");
  log.unlisten("a");
  log.savepoint("inner", "savepoint");
  log.unlisten("b");
  log.savepoint("s", "rollback to");
  EXPECT_TRUE(log.is_empty());
}

TEST(UnlistenLog, IsBounded) {
  UnlistenLog log;
  for (std::size_t i = 0; i < 3 * UnlistenLog::steps_max; ++i) log.unlisten("a");
  EXPECT_EQ(log.take().channels.size(), UnlistenLog::steps_max);
}

}  // namespace
}  // namespace turnout::protocol::pg
