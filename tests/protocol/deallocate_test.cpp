#include "protocol/pg/deallocate.h"

#include <gtest/gtest.h>

namespace turnout::protocol::pg {
namespace {

std::string shown(std::string_view sql) {
  std::string out;
  for (const DeallocatedName& found : deallocated_names(sql)) {
    EXPECT_GE(found.text.data(), sql.data());
    EXPECT_LE(found.text.data() + found.text.size(), sql.data() + sql.size());
    out += std::string(found.text) + "=" + found.name + " ";
  }
  return out;
}

TEST(Deallocate, names_where_they_stand) {
  EXPECT_EQ(shown("DEALLOCATE p"), "p=p ");
  EXPECT_EQ(shown("deallocate prepare P1;"), "P1=p1 ");
  EXPECT_EQ(shown("SAVEPOINT s;DEALLOCATE \"_PLAN0x1\";RELEASE s"), "\"_PLAN0x1\"=_PLAN0x1 ");
  EXPECT_EQ(shown("; DEALLOCATE a; /* b */ DEALLOCATE PREPARE \"c\"\"d\" -- e"), "a=a \"c\"\"d\"=c\"d ");
}

TEST(Deallocate, nothing_where_there_is_none) {
  for (const char* sql :
       {"", "DEALLOCATE", "DEALLOCATE ALL", "DEALLOCATE PREPARE ALL", "DEALLOCATE;", "SELECT deallocate p",
        "SELECT 'x; DEALLOCATE p'", "SELECT 1 -- ;DEALLOCATE p", "DEALLOCATE 'p'", "DEALLOCATE \"p"})
    EXPECT_EQ(shown(sql), "") << sql;
}

TEST(Deallocate, a_name_that_looks_like_a_word_is_a_name) {
  EXPECT_EQ(shown("DEALLOCATE \"all\""), "\"all\"=all ");
  EXPECT_EQ(shown("DEALLOCATE PREPARE deallocate; DEALLOCATE b"), "deallocate=deallocate b=b ");
}

}  // namespace
}  // namespace turnout::protocol::pg
