// COPY whose data, end and Sync were on their way before the server had answered (manual 55.2.6).
#include "protocol/pg/exchange.h"

#include <gtest/gtest.h>

namespace turnout::protocol::pg {
namespace {

void answer(Exchange& exchange, std::string_view types) {
  for (const char type : types)
    EXPECT_EQ(exchange.received(type, 'I').action, Exchange::Action::forward) << type << " of " << types;
}

TEST(Exchange, SyncBeforeTheEndOfTheDataIsIgnoredTheOneBehindItIsNot) {
  Exchange exchange;
  exchange.sent(Request::bind);
  exchange.sent(Request::execute);
  exchange.sent(Request::sync);
  exchange.sent_copy_end();
  exchange.sent(Request::sync);
  answer(exchange, "2GCZ");
  EXPECT_TRUE(exchange.is_safe_point());
}

TEST(Exchange, SyncBehindAnAnsweredCopyIsIgnored) {
  Exchange exchange;
  exchange.sent(Request::execute);
  answer(exchange, "G");
  exchange.sent(Request::sync);
  EXPECT_TRUE(exchange.in_copy_in());
  exchange.sent_copy_end();
  answer(exchange, "C");
  EXPECT_FALSE(exchange.is_safe_point());  // the Sync of before was none
  exchange.sent(Request::sync);
  answer(exchange, "Z");
  EXPECT_TRUE(exchange.is_safe_point());
}

TEST(Exchange, SimpleCopySentInOnePieceWithAQueryBehindIt) {
  Exchange exchange;
  exchange.sent(Request::query);
  exchange.sent_copy_end();
  exchange.sent(Request::query);
  answer(exchange, "GCZ");
  EXPECT_FALSE(exchange.is_idle());
  answer(exchange, "TDCZ");
  EXPECT_TRUE(exchange.is_safe_point());
}

TEST(Exchange, CopyThatFailsLeavesNothingOfItsEndBehind) {
  Exchange exchange;
  exchange.sent(Request::query);
  exchange.sent_copy_end();
  exchange.sent(Request::query);
  answer(exchange, "EZ");
  EXPECT_EQ(exchange.owed(), 1u);
  answer(exchange, "CZ");
  EXPECT_TRUE(exchange.is_safe_point());
}

TEST(Exchange, TwoRepliesAreOwedAfterTwoSyncs) {
  Exchange exchange;
  exchange.sent(Request::sync);
  exchange.sent(Request::sync);
  answer(exchange, "Z");
  EXPECT_FALSE(exchange.is_safe_point());
  answer(exchange, "Z");
  EXPECT_TRUE(exchange.is_safe_point());
}

TEST(Exchange, WhatIsPreparedForTheClientIsTheClientsWork) {
  Exchange exchange;
  exchange.sent(Request::query, Owner::ours);
  exchange.sent(Request::parse, Owner::ours, 7);
  exchange.sent(Request::bind, Owner::client, 7);
  exchange.sent(Request::execute);
  exchange.sent(Request::sync);
  EXPECT_TRUE(exchange.is_ours_now());
  for (const char type : {'C', 'Z'}) EXPECT_EQ(exchange.received(type, 'I').action, Exchange::Action::swallow);
  EXPECT_FALSE(exchange.is_ours_now());
}

}  // namespace
}  // namespace turnout::protocol::pg
