#include "control/mysql_link_tls.h"

#include <gtest/gtest.h>

#include "control/mysql_topology.h"

namespace turnout::control {
namespace {

using enum conf::TlsMode;
using Words = std::map<std::string, std::string>;

const MysqlDialect& mariadb = dialect_of(MysqlProduct::mariadb);
const MysqlDialect& mysql = dialect_of(MysqlProduct::mysql);

const Words all_files = {
    {"ssl_ca", "/own/ca"}, {"ssl_cert", "/own/cert"}, {"ssl_key", "/own/key"}, {"ssl_crl", "/own/crl"}};

BackTls back(const MysqlDialect& dialect, conf::TlsMode wish, const LinkTls& now, const Words& settings = all_files,
             const std::optional<LinkTls>& before = std::nullopt) {
  return tls_of_way_back(dialect, wish, now, before, [&](const std::string& name) {
    const auto found = settings.find(name);
    return found == settings.end() ? std::string() : found->second;
  });
}

TEST(MysqlLinkTls, a_row_says_how_it_is_encrypted) {
  const MysqlRows rows(
      {"Source_SSL_Allowed", "Source_SSL_CA_File", "Source_SSL_Cipher", "Source_SSL_Verify_Server_Cert",
       "Source_TLS_Version", "Source_SSL_Key"},
      {{"Yes", "/a/ca.pem", "AES", "Yes", "TLSv1.3", std::nullopt}, {"No", "/a/ca.pem", "", "Yes", "", ""}});
  const LinkTls expected{true, true, {{"SSL_CA", "/a/ca.pem"}, {"SSL_CIPHER", "AES"}, {"TLS_VERSION", "TLSv1.3"}}};
  EXPECT_EQ(link_tls_of(mysql, rows, 0), expected);
  EXPECT_EQ(link_tls_of(to_json(expected)), expected);
  EXPECT_EQ(link_tls_of(mysql, rows, 1), LinkTls{}) << "what is not used counts for nothing";
  EXPECT_EQ(link_tls_of(mariadb, rows, 0), LinkTls{});
}

TEST(MysqlLinkTls, the_way_back_is_as_safe_as_the_way_there) {
  const LinkTls plain, encrypted{true, false, {}}, verified{true, true, {{"SSL_CA", "/theirs/ca"}}};
  const LinkTls by_own_ca{true, true, {{"SSL_CA", "/own/ca"}}};
  struct Row {
    conf::TlsMode wish;
    LinkTls now, back;
  };
  for (const Row& row : {
           Row{disable, plain, plain},
           Row{disable, verified, plain},
           Row{prefer, plain, plain},
           Row{prefer, encrypted, encrypted},
           Row{allow, encrypted, encrypted},
           Row{prefer, verified, by_own_ca},
           Row{require, plain, encrypted},
           Row{require, encrypted, encrypted},
           Row{require, verified, by_own_ca},
           Row{verify_full, plain, by_own_ca},
           Row{verify_full, encrypted, by_own_ca},
       }) {
    for (const auto* dialect : {&mariadb, &mysql}) {
      const auto made = back(*dialect, row.wish, row.now);
      EXPECT_EQ(made.tls, row.back) << dialect->name << ' ' << static_cast<int>(row.wish) << ' ' << text_of(row.now);
      EXPECT_TRUE(made.missing.empty());
    }
  }
  EXPECT_TRUE(back(mariadb, verify_ca, plain).tls.verifies) << "it has no less";
  EXPECT_EQ(back(mysql, verify_ca, plain).tls, (LinkTls{true, false, {{"SSL_CA", "/own/ca"}}}));
}

TEST(MysqlLinkTls, what_the_follower_has_not_is_missing) {
  const LinkTls verified{true, true, {{"SSL_CA", "/theirs/ca"}}}, by_system{true, true, {}};
  const LinkTls all{
      true,
      true,
      {{"SSL_CAPATH", "/d"}, {"SSL_CERT", "/c"}, {"SSL_KEY", "/k"}, {"SSL_CRLPATH", "/r"}, {"SSL_CIPHER", "AES"}}};
  EXPECT_EQ(back(mariadb, prefer, verified, {}).missing, std::vector<std::string>{"ssl_ca"});
  EXPECT_EQ(back(mysql, prefer, verified, {{"ssl_capath", "/d"}}).missing, std::vector<std::string>{});
  EXPECT_EQ(back(mariadb, prefer, by_system, {}).missing, std::vector<std::string>{}) << "the system's are there too";
  EXPECT_EQ(back(mariadb, prefer, by_system).tls, by_system);
  EXPECT_EQ(back(mysql, verify_full, LinkTls(), {}).missing, std::vector<std::string>{"ssl_ca"});
  EXPECT_EQ(back(mariadb, verify_full, LinkTls(), {}).missing, std::vector<std::string>{});
  EXPECT_EQ(back(mysql, prefer, all, {}).missing,
            (std::vector<std::string>{"ssl_ca", "ssl_crl", "ssl_cert", "ssl_key"}));
  EXPECT_EQ(back(mysql, prefer, all).tls.words, (Words{{"SSL_CA", "/own/ca"},
                                                       {"SSL_CERT", "/own/cert"},
                                                       {"SSL_KEY", "/own/key"},
                                                       {"SSL_CRL", "/own/crl"},
                                                       {"SSL_CIPHER", "AES"}}));
}

TEST(MysqlLinkTls, a_server_follows_by_what_it_has_followed_by_before) {
  const LinkTls now{true, true, {{"SSL_CA", "/blue/ca"}}}, before{true, true, {{"SSL_CA", "/green/ca"}}};
  EXPECT_EQ(back(mysql, prefer, now, {}, before).tls, before);
  EXPECT_EQ(back(mysql, prefer, now, all_files, LinkTls{true, false, {}}).tls.words.at("SSL_CA"), "/own/ca")
      << "that was less safe";
  EXPECT_EQ(back(mysql, disable, now, {}, before).tls, LinkTls{});
  const auto facts = [](router::Side from, const LinkTls& tls) {
    return Record{"app", 1, RecordKind::facts, to_json(MysqlTopology{from, 7, 8, "", tls})};
  };
  const Record finished{"app", 1, RecordKind::binding, {{"finished", "yes"}}};
  EXPECT_EQ(has_followed_by({facts(router::Side::blue, before)}, router::Side::green), before);
  EXPECT_EQ(has_followed_by({facts(router::Side::blue, before)}, router::Side::blue), std::nullopt);
  EXPECT_EQ(has_followed_by({facts(router::Side::blue, before), facts(router::Side::green, now)}, router::Side::green),
            before);
  EXPECT_EQ(has_followed_by({facts(router::Side::blue, before), finished}, router::Side::green), std::nullopt);
}

TEST(MysqlLinkTls, what_an_operator_reads) {
  EXPECT_EQ(text_of(LinkTls{}), "without TLS");
  EXPECT_EQ(text_of(LinkTls{true, false, {}}), "by TLS");
  EXPECT_EQ(text_of(LinkTls{true, true, {}}), "by TLS, verified by the system's authorities");
  EXPECT_EQ(text_of(LinkTls{true, true, {{"SSL_CA", "/ca"}, {"SSL_CERT", "/cert"}}}),
            "by TLS, verified by /ca, with the certificate /cert");
}

}  // namespace
}  // namespace turnout::control
