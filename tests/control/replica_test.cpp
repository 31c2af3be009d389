// What `prepare --replicate` decides before it touches anything: is it possible, what is left to do, how far is it.
#include "control/replica_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace turnout::control {
namespace {

ServerFacts server(const char* identifier, int version) {
  ServerFacts facts;
  facts.version = version;
  facts.system_identifier = identifier;
  facts.wal_level = "logical";
  facts.is_superuser = true;
  facts.slots_free = facts.senders_free = facts.origins_free = facts.workers_free = 10;
  facts.sync_workers = 2;
  facts.roles = {"app", "owner"};
  facts.tablespaces = {"pg_default", "pg_global"};
  return facts;
}

DatabaseFacts empty_green() {
  DatabaseFacts database;
  database.name = "app";
  database.is_on_blue = database.is_on_green = true;
  database.blue_encoding = database.green_encoding = "UTF8";
  database.create_sql = "CREATE DATABASE app TEMPLATE template0";
  database.extensions = {"plpgsql"};
  database.available = {"plpgsql", "citext"};
  return database;
}

ReplicaFacts fine() {
  return {server("1", 150020), server("2", 180004), {empty_green()}, ""};
}

std::vector<std::string> failed(const ReplicaFacts& facts) {
  std::vector<std::string> names;
  for (const auto& check : audit(facts)) {
    if (check.verdict != Verdict::fail) continue;
    names.push_back(check.name);
    EXPECT_FALSE(check.measured.empty()) << check.name;
    EXPECT_FALSE(check.todo.empty()) << check.name << " does not say what to do";
  }
  return names;
}

TEST(ReplicaAudit, AnEmptyGreenPasses) {
  EXPECT_TRUE(failed(fine()).empty());
  EXPECT_GE(audit(fine()).size(), 12U);
}

TEST(ReplicaAudit, EachProblemHasItsOwnName) {
  struct Case {
    const char* name;
    std::function<void(ReplicaFacts&)> spoil;
  };
  const std::vector<Case> cases = {
      {"identity", [](auto& f) { f.green.system_identifier = "1"; }},
      {"identity", [](auto& f) { f.blue.is_standby = true; }},
      {"privileges", [](auto& f) { f.green.is_superuser = false; }},
      {"version", [](auto& f) { f.blue.version = 140012; }},
      {"version", [](auto& f) { f.blue.version = 190000; }},
      {"wal_level", [](auto& f) { f.blue.wal_level = "replica"; }},
      {"wal_level", [](auto& f) { f.green.wal_level = "replica"; }},
      {"replicate.source", [](auto& f) { f.databases[0].is_on_blue = false; }},
      {"replicate.database", [](auto& f) { f.databases[0].is_on_green = false; }},
      {"replicate.encoding", [](auto& f) { f.databases[0].green_encoding = "SQL_ASCII"; }},
      {"replicate.room", [](auto& f) { f.blue.slots_free = 2; }},
      {"replicate.room", [](auto& f) { f.blue.senders_free = 2; }},
      {"replicate.room", [](auto& f) { f.green.slots_free = 1; }},
      {"replicate.room", [](auto& f) { f.green.origins_free = 2; }},
      {"replicate.room", [](auto& f) { f.green.workers_free = 1; }},
      {"roles.parity", [](auto& f) { f.green.roles.pop_back(); }},
      {"replicate.tablespaces", [](auto& f) { f.blue.tablespaces.emplace_back("fast"); }},
      {"extensions.parity", [](auto& f) { f.databases[0].extensions.emplace_back("postgis"); }},
      {"replicate.empty_green", [](auto& f) { f.databases[0].objects_on_green = {"table notes"}; }},
      {"replica_identity", [](auto& f) { f.databases[0].without_identity = {"log"}; }},
      {"replicate.pg_dump", [](auto& f) { f.no_dump = "none of version 15 or newer"; }},
      {"replicate.reachable", [](auto& f) { f.databases[0].unreachable = "connection refused"; }},
      {"replicate.slot", [](auto& f) { f.databases[0].slot = SlotState::active; }},
      {"replicate.slot", [](auto& f) { f.databases[0].slot = SlotState::foreign; }},
  };
  for (const auto& one : cases) {
    auto facts = fine();
    one.spoil(facts);
    EXPECT_EQ(failed(facts), std::vector<std::string>{one.name});
  }
}

TEST(ReplicaAudit, AMissingDatabaseComesWithTheStatementThatMakesIt) {
  auto facts = fine();
  facts.databases[0].is_on_green = false;
  const auto checks = audit(facts);
  const auto found =
      std::find_if(checks.begin(), checks.end(), [](const auto& check) { return check.name == "replicate.database"; });
  ASSERT_NE(found, checks.end());
  EXPECT_NE(found->todo.find("CREATE DATABASE app TEMPLATE template0"), std::string::npos);
}

TEST(ReplicaAudit, SeveralDatabasesNeedRoomForAllOfThem) {
  auto facts = fine();
  facts.databases = {empty_green(), empty_green(), empty_green()};
  facts.blue.slots_free = 8;
  EXPECT_EQ(failed(facts), std::vector<std::string>{"replicate.room"});
  facts.blue.slots_free = 9;
  EXPECT_TRUE(failed(facts).empty());
}

// Green follows already, by whoever's hand: what would spoil a copy does not matter any more.
TEST(ReplicaAudit, WhatIsFollowedIsNotAudited) {
  auto facts = fine();
  facts.databases[0].is_followed = true;
  facts.databases[0].objects_on_green = {"table notes"};
  facts.no_dump = "none";
  facts.blue.slots_free = 0;
  EXPECT_TRUE(failed(facts).empty());
  facts.blue.wal_level = "replica";
  EXPECT_EQ(failed(facts), std::vector<std::string>{"wal_level"});
}

TEST(ReplicaSteps, FollowWhatIsThere) {
  using enum ReplicaStep;
  auto database = empty_green();
  EXPECT_EQ(steps_for(database),
            (std::vector{copy_schema, make_publication, make_slot, make_subscription, await_copy, analyze}));
  database.is_schema_copied = true;
  EXPECT_EQ(steps_for(database), (std::vector{make_publication, make_slot, make_subscription, await_copy, analyze}));
  database.is_published = true;  // tables may have come since
  EXPECT_EQ(steps_for(database), (std::vector{make_publication, make_slot, make_subscription, await_copy, analyze}));
  database.slot = SlotState::idle;
  EXPECT_EQ(steps_for(database), (std::vector{make_publication, make_subscription, await_copy, analyze}));
  database.slot = SlotState::lost;
  EXPECT_EQ(steps_for(database),
            (std::vector{make_publication, drop_lost_slot, make_slot, make_subscription, await_copy, analyze}));
  database.is_followed = true;
  EXPECT_EQ(steps_for(database), (std::vector{await_copy, analyze}));
}

TEST(ReplicaProgress, CountsTablesAndBytes) {
  EXPECT_EQ(progress_of({}), CopyProgress{});
  // Waiting, half-way, behind the copy, ready; and one whose text is longer than the table.
  EXPECT_EQ(progress_of({{'i', 100, 0}, {'d', 100, 40}, {'f', 100, 0}, {'r', 100, 0}, {'d', 100, 900}}),
            (CopyProgress{5, 1, 340, 500}));
  EXPECT_EQ(progress_of({{'s', 7, 0}}), (CopyProgress{1, 0, 7, 7}));
}

Record record_of(const char* what, const char* database, bool undone = false) {
  auto data = to_json(Made{what, database, "turnout_fwd", "blue", "DROP …"});
  if (undone) data["undone"] = "yes";
  return {"app", 0, RecordKind::made, std::move(data)};
}

TEST(ReplicaLog, KnowsWhatStillStands) {
  EXPECT_TRUE(still_made({}).empty());
  const auto names = [](const std::vector<Record>& records) {
    std::string out;
    for (const auto& one : still_made(records)) out += one.what + '/' + one.database + ' ';
    return out;
  };
  const auto slot = record_of("slot", "a");
  EXPECT_EQ(names({record_of("publication", "a"), slot, record_of("slot", "b")}), "publication/a slot/a slot/b ");
  EXPECT_EQ(names({slot, slot}), "slot/a ") << "an interrupted step was begun twice";
  EXPECT_EQ(names({slot, record_of("slot", "a", true)}), "");
  EXPECT_EQ(names({slot, record_of("slot", "a", true), slot}), "slot/a ") << "made anew";
  EXPECT_EQ(names({{"app", 0, RecordKind::facts, {{"what", "slot"}}}}), "");
}

TEST(ReplicaLog, ItsRecordsMeanNothingToTheWriter) {
  const std::vector<Record> records = {record_of("slot", "a")};
  const auto found = recover(records);
  EXPECT_EQ(found.writer, drain::Side::blue);
  EXPECT_FALSE(found.begun);
  EXPECT_EQ(record_kind("made"), RecordKind::made);
}

}  // namespace
}  // namespace turnout::control
