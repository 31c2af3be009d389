#include "conf/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace turnout::conf {
namespace {

using testing::HasSubstr;

Address at(std::string_view text) {
  auto parsed = parse_address(text);
  EXPECT_TRUE(parsed.is_ok()) << parsed.error;
  return parsed.value;
}

TEST(AddressTest, EverySpellingIsReadAndPrintedTheSame) {
  EXPECT_EQ(at("127.0.0.1:5432"), (Address{"127.0.0.1", 5432, {}}));
  EXPECT_EQ(at("[::1]:5432"), (Address{"::1", 5432, {}}));
  EXPECT_EQ(at("[fe80::1%eth0]:1"), (Address{"fe80::1%eth0", 1, {}}));
  EXPECT_EQ(at("db-1.example_x:65535"), (Address{"db-1.example_x", 65535, {}}));
  EXPECT_EQ(at("unix:/run/postgresql/.s.PGSQL.5432"), (Address{{}, 0, "/run/postgresql/.s.PGSQL.5432"}));
  for (const std::string_view text :
       {"127.0.0.1:5432", "[::1]:5432", "[fe80::1%eth0]:1", "db.example:1", "unix:/a b"}) {
    EXPECT_EQ(at(text).text(), text);
  }
}

struct Bad {
  std::string_view text;
  std::string_view error;
};

TEST(AddressTest, EverythingElseIsRefusedWithTheRightSpelling) {
  for (const Bad& row : {
           Bad{"", "the port is missing"},
           Bad{"127.0.0.1", "the port is missing"},
           Bad{"5432", "the port is missing"},
           Bad{":5432", "name the host"},
           Bad{"*:5432", "0.0.0.0:port"},
           Bad{"::1:5432", "in brackets"},
           Bad{"[::1]", "[::1]:5432"},
           Bad{"[::1]5432", "[::1]:5432"},
           Bad{"[]:5432", "[::1]:5432"},
           Bad{"[::1", "[::1]:5432"},
           Bad{"[host]:5432", "[::1]:5432"},
           Bad{"host:", "1 to 65535"},
           Bad{"host:0", "1 to 65535"},
           Bad{"host:65536", "1 to 65535"},
           Bad{"host:4294972728", "1 to 65535"},
           Bad{"host:+1", "1 to 65535"},
           Bad{"host:05432", "1 to 65535"},
           Bad{"host: 5432", "1 to 65535"},
           Bad{"ho st:5432", "characters"},
           Bad{"host/db:5432", "characters"},
           Bad{"postgres://host:5432", "not a URL"},
           Bad{"/run/x.sock", "unix:/path"},
           Bad{"unix:x.sock", "absolute path"},
           Bad{"unix:", "absolute path"},
       }) {
    EXPECT_THAT(parse_address(row.text).error, HasSubstr(row.error)) << row.text;
  }
}

TEST(AddressTest, ASocketPathEndsWhereTheKernelsDoes) {
  const std::string longest = "unix:/" + std::string(106, 'x');
  EXPECT_TRUE(parse_address(longest).is_ok());
  EXPECT_THAT(parse_address(longest + "x").error, HasSubstr("107 bytes"));
}

TEST(AddressTest, LocalMeansNobodyElseCanReachIt) {
  for (const std::string_view text :
       {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "LOCALHOST:1", "unix:/x"}) {
    EXPECT_TRUE(is_local(at(text))) << text;
  }
  for (const std::string_view text :
       {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "127.example.org:1", "localhost.example:1", "[::2]:1"}) {
    EXPECT_FALSE(is_local(at(text))) << text;
  }
}

TEST(AddressTest, Overlap) {
  struct Row {
    std::string_view a, b;
    bool overlaps;
  };
  for (const Row& row : {
           Row{"127.0.0.1:1", "127.0.0.1:1", true},
           Row{"127.0.0.1:1", "127.0.0.1:2", false},
           Row{"127.0.0.1:1", "127.0.0.2:1", false},
           Row{"127.0.0.1:1", "localhost:1", true},
           Row{"Db.example:1", "db.example:1", true},
           Row{"0.0.0.0:1", "10.0.0.1:1", true},
           Row{"10.0.0.1:1", "[::]:1", true},
           Row{"0.0.0.0:1", "10.0.0.1:2", false},
           Row{"unix:/a", "unix:/a", true},
           Row{"unix:/a", "unix:/b", false},
           Row{"unix:/a", "127.0.0.1:1", false},
           Row{"unix:/a", "0.0.0.0:1", false},
       }) {
    EXPECT_EQ(overlaps(at(row.a), at(row.b)), row.overlaps) << row.a << " " << row.b;
    EXPECT_EQ(overlaps(at(row.b), at(row.a)), row.overlaps) << row.b << " " << row.a;
  }
}

}  // namespace
}  // namespace turnout::conf
