// The rules of pg_hba.conf, a row a case: what a line means, what is refused, who is let in.
#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <random>

#include "protocol/pg/hba.h"

namespace turnout::protocol::pg {
namespace {

HbaClient from(std::string_view address, std::string_view user = "ann", std::string_view database = "shop") {
  HbaClient client;
  client.is_unix = address == "unix";
  if (!client.is_unix) client.address = parse_address(address).value();
  client.user = user;
  client.database = database;
  return client;
}

HbaClient over_tls(HbaClient client) {
  client.is_tls = true;
  return client;
}

// The line of the rule that matches, 0 without one.
int line_for(std::string_view rules, const HbaClient& client) {
  const HbaFile file = parse_hba(rules);
  EXPECT_TRUE(file.mistakes.empty()) << file.mistakes.front();
  const HbaRule* const rule = find_rule(file.rules, client);
  return rule == nullptr ? 0 : rule->line;
}

TEST(Hba, first_match_decides) {
  constexpr std::string_view rules =
      "# comment\n"
      "\n"
      "local   all             postgres                          peer\n"
      "local   all             all                               scram-sha-256 # as usual\n"
      "host    shop,books      ann,bob     10.0.0.0/8            reject\n"
      "hostssl all             all         10.0.0.0/8            cert\r\n"
      "hostnossl sameuser      all         192.168.1.0 255.255.255.0 md5\n"
      "host    \"all\"         \"two words\" ::1/128             trust\n"
      "host    replication     repl        0.0.0.0/0             scram-sha-256\n"
      "host    last            all         all                   trust\n";
  struct Row {
    std::string_view why;
    HbaClient client;
    int line;
  };
  HbaClient standby = from("172.16.0.1", "repl", "repl");
  standby.is_physical_replication = true;
  HbaClient other_standby = from("172.16.0.1", "ann", "last");
  other_standby.is_physical_replication = true;
  for (const Row& row : {
           Row{"unix, by name", from("unix", "postgres"), 3},
           Row{"unix, anybody", from("unix"), 4},
           Row{"both lists match", from("10.1.2.3"), 5},
           Row{"second of both lists", from("10.255.255.255", "bob", "books"), 5},
           Row{"TLS does not keep a host rule from matching", over_tls(from("10.1.2.3")), 5},
           Row{"user is not in the list", over_tls(from("10.1.2.3", "eve")), 6},
           Row{"hostssl without TLS", from("10.1.2.3", "eve"), 0},
           Row{"next network", from("11.0.0.0", "eve"), 0},
           Row{"sameuser", from("192.168.1.77", "eve", "eve"), 7},
           Row{"not the same user", from("192.168.1.77", "eve", "shop"), 0},
           Row{"hostnossl with TLS", over_tls(from("192.168.1.77", "eve", "eve")), 0},
           Row{"outside of the mask", from("192.168.2.77", "eve", "eve"), 0},
           Row{"quoted keywords are names", from("::1", "two words", "all"), 8},
           Row{"quoted all is not everything", from("::1", "two words", "shop"), 0},
           Row{"replication", standby, 9},
           Row{"a database of that name is no replication", from("172.16.0.1", "repl", "replication"), 0},
           Row{"a database is not asked of a standby", other_standby, 0},
           Row{"any address", from("2001:db8::1", "eve", "last"), 10},
           Row{"IPv4 within IPv6", from("::ffff:10.1.2.3"), 5},
           Row{"unix has no address", from("unix", "eve", "last"), 4},
       }) {
    EXPECT_EQ(line_for(rules, row.client), row.line) << row.why;
  }
}

TEST(Hba, methods_and_options) {
  const HbaFile file = parse_hba(
      "hostssl all all all scram-sha-256 clientcert=verify-ca\n"
      "hostssl all all all trust clientcert=verify-full\n"
      "hostssl all all all cert\n"
      "hostssl all all all cert clientcert=verify-full\n"
      "host all all 0.0.0.0/0 md5\n");
  ASSERT_TRUE(file.mistakes.empty()) << file.mistakes.front();
  ASSERT_EQ(file.rules.size(), 5U);
  EXPECT_EQ(file.rules[0].certificate, ClientCertificate::trusted);
  EXPECT_EQ(file.rules[1].certificate, ClientCertificate::names_user);
  EXPECT_EQ(file.rules[2].certificate, ClientCertificate::names_user);
  EXPECT_EQ(file.rules[3].certificate, ClientCertificate::names_user);
  EXPECT_EQ(file.rules[4].certificate, ClientCertificate::not_asked);
  EXPECT_EQ(file.rules[4].prefix_bits, 96U) << "every IPv4 address";
  EXPECT_EQ(find_rule({file.rules[4]}, from("::1")), nullptr) << "and no IPv6 address";
  EXPECT_EQ(line_for("host all all ::/0 trust", from("127.0.0.1")), 0) << "IPv4 is not a part of IPv6";
  EXPECT_EQ(line_for("host all all ::/0 trust", from("2001:db8::1")), 1);
  EXPECT_EQ(line_for("host all all ::/64 trust", from("10.0.0.1")), 0);
}

TEST(Hba, every_mistake_has_its_place_and_its_word) {
  struct Row {
    std::string_view line, begins, names;
  };
  for (const Row& row : {
           Row{"locals all all trust", "1:1:", "locals"},
           Row{"local", "1:1:", "database"},
           Row{"local all", "1:7:", "user"},
           Row{"local all all", "1:11:", "method"},
           Row{"host all all trust", "1:14:", "trust"},
           Row{"host all all 10.0.0.0/8", "1:14:", "method"},
           Row{"host all all 10.0.0.0 trust", "1:23:", "trust"},
           Row{"host all all 10.0.0.0/33 trust", "1:14:", "33"},
           Row{"host all all ::/129 trust", "1:14:", "129"},
           Row{"host all all 10.0.0.0/ trust", "1:14:", "0 to 32"},
           Row{"host all all 10.0.0.0/-1 trust", "1:14:", "-1"},
           Row{"host all all 10.0.0.0 255.0.255.0 trust", "1:23:", "255.0.255.0"},
           Row{"host all all 10.0.0.0 ffff:: trust", "1:23:", "ffff::"},
           Row{"host all all db.example trust", "1:14:", "db.example"},
           Row{"host all all samehost trust", "1:14:", "samehost"},
           Row{"host all +staff all trust", "1:10:", "+staff"},
           Row{"host all @users all trust", "1:10:", "@users"},
           Row{"host all /^a all trust", "1:10:", "/^a"},
           Row{"host samerole all all trust", "1:6:", "samerole"},
           Row{"host a,,b all all trust", "1:8:", "comma"},
           Row{"host , all all trust", "1:1:", "list"},
           Row{"host all all all ident", "1:18:", "ident"},
           Row{"host all all all ldap ldapserver=x", "1:18:", "ldap"},
           Row{"host all all all password", "1:18:", "password"},
           Row{"host all all all peer", "1:18:", "peer"},
           Row{"host all all all cert", "1:18:", "cert"},
           Row{"local all all cert", "1:15:", "cert"},
           Row{"host all all all trust clientcert=verify-ca", "1:24:", "clientcert"},
           Row{"hostssl all all all cert map=x", "1:26:", "map=x"},
           Row{"local all all peer map=x", "1:20:", "map=x"},
           Row{"hostgssenc all all all trust", "1:1:", "hostgssenc"},
           Row{"include other.conf", "1:1:", "include"},
           Row{"local all \"ann trust", "1:11:", "quote"},
           Row{"local,host all all trust", "1:1:", "list"},
       }) {
    const HbaFile file = parse_hba(row.line);
    EXPECT_TRUE(file.rules.empty()) << row.line;
    ASSERT_EQ(file.mistakes.size(), 1U) << row.line;
    EXPECT_TRUE(file.mistakes[0].starts_with(row.begins)) << row.line << " → " << file.mistakes[0];
    EXPECT_NE(file.mistakes[0].find(row.names), std::string::npos) << row.line << " → " << file.mistakes[0];
  }
  EXPECT_EQ(parse_hba(std::string("local all\0all trust", 19)).mistakes.size(), 1U);
  const HbaFile two = parse_hba("nonsense\nlocal all all trust\nhost all all nowhere trust\n");
  ASSERT_EQ(two.mistakes.size(), 2U);
  EXPECT_TRUE(two.mistakes[1].starts_with("3:14:")) << two.mistakes[1];
}

TEST(Hba, addresses_are_read_as_the_c_library_reads_them) {
  const auto theirs = [](const std::string& text) -> std::optional<AddressBytes> {
    AddressBytes bytes{};
    if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return bytes;
    bytes = {};
    bytes[10] = bytes[11] = 0xff;
    if (::inet_pton(AF_INET, text.c_str(), bytes.data() + 12) == 1) return bytes;
    return std::nullopt;
  };
  for (const std::string text : {"",
                                 ":",
                                 "::",
                                 ":::",
                                 "::1",
                                 "1::",
                                 "1:2:3:4:5:6:7:8",
                                 "1:2:3:4:5:6:7",
                                 "1:2:3:4:5:6:7::",
                                 "::2:3:4:5:6:7:8",
                                 "1::2::3",
                                 "1:2:3:4:5:6:7:8:9",
                                 "::ffff:1.2.3.4",
                                 "1:2:3:4:5:6:1.2.3.4",
                                 "1:2:3:4:5:6:7:1.2.3.4",
                                 "::1.2.3",
                                 "::1.2.3.4:5",
                                 "12345::",
                                 "g::",
                                 "-1::",
                                 "1.2.3.4",
                                 "1.2.3",
                                 "1.2.3.4.5",
                                 "256.1.1.1",
                                 "01.2.3.4",
                                 "1.2.3.-4",
                                 " 1.2.3.4",
                                 "1.2.3.4 ",
                                 "0.0.0.0",
                                 "fe80::1%eth0",
                                 "1:",
                                 ":1",
                                 "1:2",
                                 "FFFF::abcd"})
    EXPECT_EQ(parse_address(text), theirs(text)) << text;
  std::mt19937 random(7);
  const std::string alphabet = "::::0123456789abcdef...";
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    for (std::size_t n = random() % 20; n != 0; --n) text += alphabet[random() % alphabet.size()];
    ASSERT_EQ(parse_address(text), theirs(text)) << text;
  }
}

}  // namespace
}  // namespace turnout::protocol::pg
