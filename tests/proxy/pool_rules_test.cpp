#include "proxy/pool_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "proxy/deployment.h"

namespace turnout::proxy {
namespace {

TEST(PoolRulesTest, TheReserveCountsOnlyForWhoHasWaited) {
  conf::Pool pool;
  pool.size = 10;
  EXPECT_EQ(size_now(pool, 1'000'000), 10u) << "there is none";
  pool.reserve = 3;
  pool.reserve_after_ms = 500;
  EXPECT_EQ(size_now(pool, 0), 10u);
  EXPECT_EQ(size_now(pool, 499), 10u);
  EXPECT_EQ(size_now(pool, 500), 13u);
  pool.reserve_after_ms = 0;
  EXPECT_EQ(size_now(pool, 0), 10u) << "nobody waits";
  EXPECT_EQ(size_now(pool, 1), 13u);
}

TEST(PoolRulesTest, WorkersShareTheOpening) {
  conf::Pool pool;
  pool.opening_max = 16;
  EXPECT_EQ(opening_share(pool, 1), 16u);
  EXPECT_EQ(opening_share(pool, 3), 5u);
  EXPECT_EQ(opening_share(pool, 64), 1u) << "at least one each";
  EXPECT_EQ(opening_share(pool, 0), 16u);
}

TEST(PoolRulesTest, LifetimesSpreadWithinTheirBounds) {
  conf::Pool pool;
  pool.lifetime_ms_max = 10'000;
  pool.lifetime_jitter_percent = 20;
  std::set<std::uint64_t> seen;
  for (std::uint64_t id = 1; id <= 200; ++id) {
    const std::uint64_t lifetime_ms = own_lifetime_ms(pool, id);
    EXPECT_GE(lifetime_ms, 8'000u);
    EXPECT_LE(lifetime_ms, 10'000u);
    EXPECT_EQ(lifetime_ms, own_lifetime_ms(pool, id)) << "it does not change";
    seen.insert(lifetime_ms);
  }
  EXPECT_GT(seen.size(), 150u);
  EXPECT_LT(*seen.begin(), 8'200u);
  EXPECT_GT(*seen.rbegin(), 9'800u);
  pool.lifetime_jitter_percent = 0;
  EXPECT_EQ(own_lifetime_ms(pool, 7), 10'000u);
  pool.lifetime_ms_max = 0;
  EXPECT_EQ(own_lifetime_ms(pool, 7), 0u);
}

TEST(PoolRulesTest, WhatIsClosedWhenIdle) {
  conf::Pool pool;
  pool.size = 4;
  pool.lifetime_ms_max = 1'000;
  pool.lifetime_jitter_percent = 0;
  pool.idle_ms_max = 100;
  pool.reserve_after_ms = 10;
  struct Row {
    const char* name;
    IdleConnection connection;
    bool closes;
  };
  for (const Row& row : {
           Row{"young and used", {1, 500, 50, 4, 0, false}, false},
           Row{"too old", {1, 1'001, 0, 4, 0, false}, true},
           Row{"too old, of those to keep: another one comes", {1, 1'001, 0, 2, 2, false}, true},
           Row{"idle for too long", {1, 500, 101, 4, 0, false}, true},
           Row{"idle, but one to keep", {1, 500, 101, 2, 2, false}, false},
           Row{"idle, one more than to keep", {1, 500, 101, 3, 2, false}, true},
           Row{"of the reserve, used just now", {1, 500, 9, 5, 0, false}, false},
           Row{"of the reserve, not needed", {1, 500, 10, 5, 0, false}, true},
           Row{"wanted warm", {1, 5'000, 5'000, 9, 0, true}, false},
       })
    EXPECT_EQ(should_close(pool, row.connection), row.closes) << row.name;
  pool.lifetime_ms_max = pool.idle_ms_max = 0;
  EXPECT_FALSE(should_close(pool, {1, UINT64_MAX, UINT64_MAX, 4, 0, false})) << "0 = never";
}

TEST(PoolRulesTest, WhoGivesWay) {
  const std::string ann = "ann", bob = "bob", shop = "shop", blog = "blog";
  const auto blue = router::Side::blue;
  const auto write = router::Access::write;
  RoomClaim claim{SharedLimit::side, blue, write, ann, shop, 1'000, 500};
  struct Row {
    const char* name;
    SharedLimit limit;
    PoolName pool;
    std::uint64_t waiting_since_us, now_ms;
    bool gives;
  };
  for (const Row& row : {
           Row{"another pool", SharedLimit::side, {blue, write, bob, blog}, 0, 500, true},
           Row{"the claimer", SharedLimit::side, {blue, write, ann, shop}, 0, 500, false},
           Row{"the claimer's reads", SharedLimit::side, {blue, router::Access::read, ann, shop}, 0, 500, true},
           Row{"the other side", SharedLimit::side, {router::Side::green, write, bob, blog}, 0, 500, false},
           Row{"its own waiter came first", SharedLimit::side, {blue, write, bob, blog}, 999, 500, false},
           Row{"its own waiter came later", SharedLimit::side, {blue, write, bob, blog}, 1'001, 500, true},
           Row{"the claim is over", SharedLimit::side, {blue, write, bob, blog}, 0, 501, false},
           Row{"no claim", SharedLimit::none, {blue, write, bob, blog}, 0, 500, false},
           Row{"of the same user", SharedLimit::user, {blue, write, ann, blog}, 0, 500, true},
           Row{"of another user", SharedLimit::user, {blue, write, bob, shop}, 0, 500, false},
           Row{"of the same database", SharedLimit::database, {blue, write, bob, shop}, 0, 500, true},
           Row{"of another database", SharedLimit::database, {blue, write, ann, blog}, 0, 500, false},
       }) {
    claim.limit = row.limit;
    EXPECT_EQ(gives_way(claim, row.pool, row.waiting_since_us, row.now_ms), row.gives) << row.name;
  }
}

TEST(SharedAccountTest, AUnitOfEveryLimitOrOfNone) {
  SideCounts all, ann, bob, shop, blog;
  SharedAccount one("shop", "ann", 0, all, ann, shop), two("blog", "bob", 0, all, bob, blog),
      three("shop", "bob", 0, all, bob, shop);
  conf::Limits limits;
  limits.server_connections_max = 4;
  limits.server_connections_per_user_max = 3;
  limits.server_connections_per_database_max = 2;
  const auto blue = router::Side::blue;
  EXPECT_EQ(one.take_shared(blue, limits), SharedLimit::none);
  EXPECT_EQ(three.take_shared(blue, limits), SharedLimit::none);
  EXPECT_EQ(three.take_shared(blue, limits), SharedLimit::database);
  EXPECT_EQ(all[0].open(), 2u) << "what was taken on the way is given back";
  EXPECT_EQ(bob[0].open(), 1u);
  EXPECT_EQ(two.take_shared(blue, limits), SharedLimit::none);
  EXPECT_EQ(two.take_shared(blue, limits), SharedLimit::none);
  EXPECT_EQ(two.take_shared(blue, limits), SharedLimit::side);
  three.give_shared(blue);
  limits.server_connections_per_user_max = 2;
  EXPECT_EQ(two.take_shared(blue, limits), SharedLimit::user);
  EXPECT_EQ(two.take_shared(router::Side::green, limits), SharedLimit::none) << "each side is a server of its own";
  limits = {};
  for (int i = 0; i < 100; ++i) EXPECT_EQ(two.take_shared(blue, limits), SharedLimit::none) << "0 = no limit";
}

}  // namespace
}  // namespace turnout::proxy
