#include "router/query_shape.h"

#include <gtest/gtest.h>

namespace turnout::router {
namespace {

TEST(QueryShape, ShowsNoValues) {
  EXPECT_EQ(query_shape("SELECT * FROM t WHERE a = 'secret' AND b=42", 200), "SELECT * FROM t WHERE a = ? AND b=?");
  EXPECT_EQ(query_shape("SELECT $tag$ x $tag$, E'a\\'b', $1", 200), "SELECT ?, ?, $1");
  EXPECT_EQ(query_shape("SELECT 1 /* who\nam i */ -- and\n  , \"Q\"", 200), "SELECT ? , \"Q\"");
  EXPECT_EQ(query_shape("SELECT 'cut in the mid", 200), "SELECT ?");
  EXPECT_EQ(query_shape("", 200), "");
}

TEST(QueryShape, IsBoundedBetweenCharacters) {
  EXPECT_EQ(query_shape("SELECT abc", 8), "SELECT a…");
  EXPECT_EQ(query_shape("SELECT \xc3\xa4\xc3\xa4", 8), "SELECT …");
}

}  // namespace
}  // namespace turnout::router
