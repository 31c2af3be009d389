#include "protocol/pg/canonical.h"

#include <gtest/gtest.h>

namespace turnout::protocol::pg {
namespace {

TEST(Canonical, WishesInTheWordsOfTheServer) {
  struct Row {
    const char *name, *wish, *told, *reported;
  };
  for (const Row& row : {
           Row{"DateStyle", "ISO", "German, DMY", "ISO, DMY"},
           Row{"datestyle", "German", "ISO, MDY", "German, DMY"},
           Row{"DateStyle", "mdy german", "ISO, MDY", "German, MDY"},
           Row{"DateStyle", "sql,european", "ISO, MDY", "SQL, DMY"},
           Row{"DateStyle", "", "ISO, MDY", "ISO, MDY"},
           Row{"client_encoding", "utf-8", "UTF8", "UTF8"},
           Row{"client_encoding", "'latin1'", "UTF8", "LATIN1"},
           Row{"client_encoding", "something else", "UTF8", "something else"},
           Row{"IntervalStyle", "ISO_8601", "postgres", "iso_8601"},
           Row{"standard_conforming_strings", "1", "on", "on"},
           Row{"TimeZone", "Europe/Paris", "UTC", "Europe/Paris"},
       })
    EXPECT_EQ(canonical_value(row.name, row.wish, row.told), row.reported) << row.name << " " << row.wish;
}

}  // namespace
}  // namespace turnout::protocol::pg
