#include "control/mysql_own_writes.h"

#include <gtest/gtest.h>

namespace turnout::control {
namespace {

using Words = std::vector<std::string>;

MysqlRows events(std::vector<std::pair<const char*, const char*>> list) {
  std::vector<MysqlRows::Row> rows;
  int position = 100;
  for (const auto& [type, server_id] : list) {
    position += 100;
    rows.push_back({"b.000001", std::to_string(position), type, server_id, "0", ""});
  }
  return {{"Log_name", "Pos", "Event_type", "Server_id", "End_log_pos", "Info"}, rows};
}

Record record(std::uint64_t epoch, RecordKind kind, boost::json::object data) {
  return {"app", epoch, kind, std::move(data)};
}

std::vector<Record> move_of(std::uint64_t epoch, const char* direction, const char* decision, const char* fence) {
  return {record(epoch, RecordKind::begin, {{"direction", direction}}),
          record(epoch, RecordKind::decision,
                 {{"decision", decision}, {"fence_positions", boost::json::object{{"server", fence}}}})};
}

std::vector<Record> operator+(std::vector<Record> a, const std::vector<Record>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(MysqlOwnWrites, the_origin_of_each_transaction_is_in_the_log) {
  OwnWrites found;
  find_own_writes(events({{"Format_desc", "8"}, {"Previous_gtids", "8"}, {"Anonymous_Gtid", "8"}, {"Query", "8"}}), 8,
                  found);
  EXPECT_EQ(found.before, Words{"b.000001:400"}) << "it may have made the copy";
  EXPECT_FALSE(found.has_replicated);
  find_own_writes(events({{"Anonymous_Gtid", "7"}, {"Query", "7"}, {"Xid", "7"}, {"Rotate", "8"}}), 8, found);
  EXPECT_TRUE(found.has_replicated);
  EXPECT_TRUE(found.behind.empty()) << "what is the log's own is nobody's write";
  find_own_writes(events({{"Gtid", "7"}, {"Anonymous_Gtid", "8"}, {"Gtid_tagged", "8"}}), 8, found);
  EXPECT_EQ(found.behind, (Words{"b.000001:300", "b.000001:400"}));
  EXPECT_EQ(found.before.size(), 1U);
}

TEST(MysqlOwnWrites, it_was_the_writer_once) {
  const auto blue = router::Side::blue, green = router::Side::green;
  const auto there = move_of(1, "cutover", "commit", "blue.000002:300");
  const auto back = move_of(2, "rollback", "commit", "green.000007:900");
  EXPECT_FALSE(closed_at({}, blue));
  EXPECT_EQ(closed_at(there, blue)->text(), "blue.000002:300");
  EXPECT_FALSE(closed_at(there, green)) << "it is the writer now, for the first time";
  EXPECT_EQ(closed_at(there + back, green)->text(), "green.000007:900");
  EXPECT_EQ(closed_at(there + back, blue)->text(), "blue.000002:300");
  EXPECT_EQ(closed_at(there + back + move_of(3, "cutover", "commit", "blue.000004:4"), blue)->text(), "blue.000004:4");
  EXPECT_EQ(closed_at(there + move_of(2, "rollback", "abort", "green.000009:4"), green), std::nullopt)
      << "it went on as the writer";
  EXPECT_FALSE(closed_at(there + move_of(3, "cutover", "commit", "u:1-5"), blue)) << "by GTID";
  EXPECT_FALSE(closed_at(there + std::vector{record(2, RecordKind::binding, {{"writer", "blue"}})}, blue))
      << "other servers bear the names now";
}

TEST(MysqlOwnWrites, how_far_it_is_read) {
  const std::vector<LogFile> log = {{"b.000003", 1000}, {"b.000004", 500}, {"b.000005", 200}};
  const auto begins = [&](std::optional<LogPosition> since, std::uint64_t most) {
    Words texts;
    const auto reach = reach_of(log, since, most);
    for (const auto& begin : reach.begins) texts.push_back(begin.text());
    texts.emplace_back(reach.is_whole ? "whole" : "not whole");
    return texts;
  };
  EXPECT_EQ(begins({}, 10'000), (Words{"b.000003:4", "b.000004:4", "b.000005:4", "whole"}));
  EXPECT_EQ(begins({}, 1000), (Words{"b.000004:4", "b.000005:4", "not whole"}));
  EXPECT_EQ(begins({}, 100), Words{"not whole"});
  EXPECT_EQ(begins(LogPosition{"b.000004", 450}, 250), (Words{"b.000004:450", "b.000005:4", "whole"}));
  EXPECT_EQ(begins(LogPosition{"b.000004", 450}, 240), (Words{"b.000005:4", "not whole"}));
  EXPECT_EQ(begins(LogPosition{"b.000005", 200}, 240), (Words{"b.000005:200", "whole"}));
  EXPECT_EQ(begins(LogPosition{"b.000002", 9}, 10'000), (Words{"b.000003:4", "b.000004:4", "b.000005:4", "not whole"}))
      << "purged";
  EXPECT_EQ(reach_of({}, {}, 100).begins.size(), 0U);
}

}  // namespace
}  // namespace turnout::control
