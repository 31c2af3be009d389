// What is offered, agreed on, and asked of servers: of the products as they greet, and of those they may be replaced
// by.
#include "protocol/mysql/capabilities.h"

#include <gtest/gtest.h>

#include "protocol/mysql/greeting.h"
#include "tests/protocol_mysql/golden.h"

namespace turnout::protocol::mysql {
namespace {

Capabilities greeted_by(const char* server) {
  const test::Golden golden = test::load_golden(server, "login_empty");
  return parse_greeting(golden.packets.at(0).payload()).value().capabilities;
}

const Capabilities everything = ~Capabilities{0} & ~capability::long_password;
const Capabilities never = capability::compress | capability::zstd | capability::local_files |
                           capability::several_factors | capability::cached_metadata;

TEST(Capabilities, BothSidesAlikeOfferWhatTheyHave) {
  const Capabilities mariadb = greeted_by("mariadb10");
  const Capabilities offered = offer(mariadb, mariadb, true);
  for (const Capabilities one : {capability::bulk_execute, capability::progress, capability::extended_metadata,
                                 capability::session_track, capability::deprecate_eof, capability::tls})
    EXPECT_NE(offered & one, 0U) << std::hex << one;
  EXPECT_EQ(offered & capability::long_password, 0U) << "else the upper half is not read";
  const Capabilities mysql = greeted_by("mysql97");
  EXPECT_NE(offer(mysql, mysql, true) & capability::query_attributes, 0U);
  EXPECT_NE(offer(mysql, mysql, true) & capability::long_password, 0U);
}

TEST(Capabilities, DifferentSidesOfferWhatBothHave) {
  const Capabilities mysql = greeted_by("mysql97");
  const Capabilities mariadb = greeted_by("mariadb10");
  const Capabilities offered = offer(mysql, mariadb, false);
  EXPECT_EQ(offered, offer(mariadb, mysql, false)) << "whoever is blue";
  EXPECT_EQ(offered & mariadb_mask, 0U);
  EXPECT_EQ(offered & (capability::query_attributes | capability::optional_metadata | capability::tls), 0U);
  EXPECT_NE(offered & capability::long_password, 0U);
  EXPECT_NE(offered & capability::found_rows, 0U);
}

TEST(Capabilities, SomeAreNeverOffered) {
  for (const Capabilities server : {everything, greeted_by("mysql97"), greeted_by("mariadb10")})
    EXPECT_EQ(offer(server, server, true) & never, 0U);
}

TEST(Capabilities, NoGreenYetIsBlueAlone) {
  const Capabilities mysql = greeted_by("mysql97");
  EXPECT_EQ(offer(mysql, std::nullopt, true), offer(mysql, mysql, true));
}

TEST(Capabilities, TrackersAreOfferedWhereServersHaveThem) {
  EXPECT_EQ(offer(everything, everything & ~capability::session_track, true) & capability::session_track, 0U);
  // The form of ends is made here.
  EXPECT_NE(offer(everything, everything & ~capability::deprecate_eof, true) & capability::deprecate_eof, 0U);
}

TEST(Capabilities, AClientGetsNoMoreThanWasOffered) {
  const Capabilities mysql = greeted_by("mysql97");
  const Capabilities offered = offer(mysql, mysql, false);
  const auto agreed = agree(offered, everything);
  ASSERT_TRUE(agreed);
  EXPECT_EQ(*agreed & ~offered, 0U);
  EXPECT_EQ(agree(offered, everything & ~capability::protocol_41), std::nullopt);
  EXPECT_EQ(agree(offered, everything & ~capability::secure_connection), std::nullopt);
}

TEST(Capabilities, AClientThatIsNotMariaDbsHasNoUpperHalf) {
  const Capabilities mariadb = greeted_by("mariadb10");
  const Capabilities offered = offer(mariadb, mariadb, false);
  EXPECT_EQ(*agree(offered, everything | capability::long_password) & mariadb_mask, 0U);
  EXPECT_NE(*agree(offered, everything) & mariadb_mask, 0U);
}

// The point of it all: a session finds its dialect on both sides, whoever they are.
TEST(Capabilities, EveryAgreementCanBeKeptOnBothSides) {
  const Capabilities sides[] = {greeted_by("mysql97"), greeted_by("mariadb10"), everything,
                                greeted_by("mysql97") & ~(capability::deprecate_eof | capability::session_track)};
  for (const Capabilities blue : sides) {
    for (const Capabilities green : sides) {
      for (unsigned bit = 0; bit < 40; ++bit) {
        const Capabilities wanted = always | 1ULL << bit | (bit % 2 == 0 ? everything : 0);
        const auto agreed = agree(offer(blue, green, true), wanted);
        ASSERT_TRUE(agreed);
        for (const Capabilities side : {blue, green}) {
          const Towards towards = towards_server(dialect(*agreed), side, false, true);
          EXPECT_EQ(towards.missing, 0U);
          EXPECT_EQ(towards.capabilities & dialect_mask, dialect(*agreed));
          EXPECT_EQ(towards.capabilities & ~side & ~capability::long_password, 0U) << "nothing that it does not have";
          EXPECT_EQ(towards.capabilities & capability::session_track, side & capability::session_track);
          EXPECT_EQ(
              (towards.capabilities & mariadb_mask) != 0 && (towards.capabilities & capability::long_password) != 0,
              false);
        }
      }
    }
  }
}

TEST(Capabilities, AServerThatLacksSomethingIsNamed) {
  const Capabilities mysql = greeted_by("mysql97");
  EXPECT_EQ(towards_server(capability::bulk_execute, mysql, false, false).missing, capability::bulk_execute);
  EXPECT_EQ(towards_server(0, mysql & ~capability::tls, true, false).missing, capability::tls);
  EXPECT_EQ(towards_server(0, mysql & ~capability::plugin_auth, false, false).missing, capability::plugin_auth);
}

}  // namespace
}  // namespace turnout::protocol::mysql
