#include "protocol/pg/advisory_lock.h"

#include <gtest/gtest.h>

namespace turnout::protocol::pg {
namespace {

TEST(AdvisoryLock, RowsOfTheServer) {
  const auto whole = parse_advisory_lock("0 42 1 ExclusiveLock f");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->key(), "'42'::pg_catalog.int8");
  EXPECT_EQ(whole->text(), "42");
  EXPECT_FALSE(whole->is_wanted);
  const auto pair = parse_advisory_lock("4 4294967295 2 ShareLock t");
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->key(), "'4'::pg_catalog.int4, '-1'::pg_catalog.int4");
  EXPECT_EQ(pair->text(), "(4, -1) shared");
  EXPECT_TRUE(pair->is_wanted && pair->is_shared);
  EXPECT_FALSE(pair->is_same(*whole));
  EXPECT_TRUE(pair->is_same(*pair));
}

TEST(AdvisoryLock, EveryBigintIsTheSameKey) {
  EXPECT_EQ(parse_advisory_lock("4294967295 4294967295 1 ExclusiveLock f")->key(), "'-1'::pg_catalog.int8");
  EXPECT_EQ(parse_advisory_lock("2147483648 0 1 ExclusiveLock f")->key(), "'-9223372036854775808'::pg_catalog.int8");
  EXPECT_EQ(parse_advisory_lock("2147483647 4294967295 1 ExclusiveLock f")->key(),
            "'9223372036854775807'::pg_catalog.int8");
  EXPECT_EQ(parse_advisory_lock("1 2 1 ExclusiveLock f")->key(), "'4294967298'::pg_catalog.int8");
}

TEST(AdvisoryLock, WhatIsNoSuchRow) {
  for (const char* row : {"", "1", "1 2", "1 2 3 ExclusiveLock f", "1 2 1 AccessShareLock f", "1 2 1",
                          "-1 2 1 ShareLock f", "4294967296 2 1 ShareLock f", "t"})
    EXPECT_FALSE(parse_advisory_lock(row)) << row;
}

TEST(AdvisoryLock, WhatWaitsForOne) {
  for (const char* sql :
       {"SELECT pg_advisory_lock(42)", "select PG_CATALOG.pg_advisory_lock_shared($1, $2) ;",
        "SELECT pg_advisory_lock(-1::bigint)", "SELECT pg_advisory_lock(hashtext('leader; FROM')::int) AS had",
        "/* job */ SELECT pg_advisory_lock($1) -- wait", "SELECT pg_advisory_lock(('x' || md5('a'))::bit(64)::bigint)"})
    EXPECT_TRUE(waits_for_one_lock(sql)) << sql;
  for (const char* sql :
       {"", "SELECT", "SELECT pg_advisory_lock", "SELECT pg_advisory_lock(", "SELECT pg_advisory_lock(1",
        "SELECT pg_try_advisory_lock(1)", "SELECT pg_advisory_lock(1), pg_advisory_lock(2)",
        "SELECT pg_advisory_lock(id) FROM jobs", "SELECT pg_advisory_lock(generate_series(1, 3))",
        "SELECT pg_advisory_lock(f(1))", "SELECT pg_advisory_lock(1) FROM jobs", "SELECT pg_advisory_lock(1); SELECT 2",
        "SELECT pg_advisory_lock((SELECT 1))", "SELECT mine.pg_advisory_lock(1)",
        "SELECT pg_advisory_lock(1) UNION ALL SELECT pg_advisory_lock(2)", "SELECT pg_advisory_lock('a"})
    EXPECT_FALSE(waits_for_one_lock(sql)) << sql;
}

TEST(AdvisoryLock, Texts) {
  AdvisoryLocks locks = {{0, 7, false, false}, {1, 2, true, true}};
  EXPECT_EQ(try_advisory_locks(locks),
            "SELECT pg_catalog.pg_try_advisory_lock('7'::pg_catalog.int8); "
            "SELECT pg_catalog.pg_try_advisory_lock_shared('1'::pg_catalog.int4, '2'::pg_catalog.int4); ");
  EXPECT_TRUE(release_advisory_locks(locks).starts_with(
      "SELECT pg_catalog.pg_advisory_unlock('7'::pg_catalog.int8); "
      "SELECT pg_catalog.pg_advisory_unlock_shared('1'::pg_catalog.int4, '2'::pg_catalog.int4); SELECT "));
  EXPECT_EQ(repeat_advisory_locks(locks), "");
  locks[1].times = 3;
  EXPECT_EQ(repeat_advisory_locks(locks),
            "SELECT pg_catalog.count(pg_catalog.pg_advisory_lock_shared('1'::pg_catalog.int4, "
            "'2'::pg_catalog.int4)) FROM pg_catalog.generate_series(2, 3); ");
}

}  // namespace
}  // namespace turnout::protocol::pg
