#include "control/mysql_identity.h"

#include <gtest/gtest.h>

namespace turnout::control {
namespace {

const MysqlIdentity of_mysql{"e275f630-e6df-11f1-93c0-02fc00000001", "", "", "", ""};
const MysqlIdentity of_mariadb{"", "7", "kNRgFPvl", "[0-7-10,0-8-3]", "binlog of mine.000003"};

MysqlIdentity changed(std::string MysqlIdentity::*part, const std::string& value) {
  auto identity = of_mariadb;
  identity.*part = value;
  return identity;
}

TEST(MysqlIdentityTest, ATextKeepsAllOfIt) {
  for (const auto& identity : {of_mysql, of_mariadb, changed(&MysqlIdentity::machine, ""),
                               changed(&MysqlIdentity::before, ""), changed(&MysqlIdentity::log, "")})
    EXPECT_EQ(mysql_identity_of(text_of(identity)), identity) << text_of(identity);
  EXPECT_EQ(text_of({}), "");
  EXPECT_EQ(mysql_identity_of(""), MysqlIdentity{});
  EXPECT_EQ(mysql_identity_of("server_id 7").id, "7");
}

TEST(MysqlIdentityTest, WhoIsTheSame) {
  auto other_uuid = of_mysql;
  other_uuid.uuid.back() = '2';
  const auto elsewhere = changed(&MysqlIdentity::machine, "another");
  const auto nowhere = changed(&MysqlIdentity::machine, "");
  struct Row {
    MysqlIdentity known, seen;
    Likeness verdict;
  };
  for (const Row& row : {
           Row{of_mysql, of_mysql, Likeness::same},
           Row{of_mysql, other_uuid, Likeness::other},
           Row{of_mysql, of_mariadb, Likeness::other},
           Row{of_mariadb, of_mysql, Likeness::other},
           Row{of_mariadb, of_mariadb, Likeness::same},
           Row{of_mariadb, changed(&MysqlIdentity::log, "binlog.000009"), Likeness::same},
           Row{of_mariadb, changed(&MysqlIdentity::id, "8"), Likeness::other},
           Row{of_mariadb, elsewhere, Likeness::in_its_log},
           Row{nowhere, nowhere, Likeness::in_its_log},
           // A first file is empty before its beginning on every server.
           Row{changed(&MysqlIdentity::before, "[]"), elsewhere, Likeness::other},
           Row{changed(&MysqlIdentity::before, ""), elsewhere, Likeness::other},
           Row{changed(&MysqlIdentity::log, ""), elsewhere, Likeness::other},
           Row{{}, {}, Likeness::other},
       })
    EXPECT_EQ(likeness(row.known, row.seen), row.verdict) << text_of(row.known) << " / " << text_of(row.seen);
}

}  // namespace
}  // namespace turnout::control
