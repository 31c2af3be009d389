#include <gtest/gtest.h>

#include <set>
#include <string>

#include "proxy/cancel_key.h"

namespace turnout::proxy {
namespace {

TEST(CancelKey, only_the_whole_key_of_that_session_is_right) {
  for (const bool is_long : {false, true}) {
    const std::string key = cancel_key("process", 7, 0x01020304, is_long);
    EXPECT_EQ(key.size(), is_long ? 32U : 4U);
    EXPECT_TRUE(is_cancel_key(key, "process", 7, 0x01020304, is_long));
    EXPECT_FALSE(is_cancel_key(key, "process", 7, 0x01020304, !is_long)) << "the other protocol's key";
    EXPECT_FALSE(is_cancel_key("", "process", 7, 0x01020304, is_long));
    EXPECT_FALSE(is_cancel_key(key + '\0', "process", 7, 0x01020304, is_long));
    EXPECT_FALSE(is_cancel_key(key, "process", 7, 0x01020305, is_long));
    for (std::size_t size = 0; size < key.size(); ++size)
      EXPECT_FALSE(is_cancel_key(key.substr(0, size), "process", 7, 0x01020304, is_long)) << size;
    for (std::size_t at = 0; at < key.size(); ++at) {
      std::string wrong = key;
      wrong[at] = static_cast<char>(wrong[at] ^ 1);
      EXPECT_FALSE(is_cancel_key(wrong, "process", 7, 0x01020304, is_long)) << at;
    }
  }
}

TEST(CancelKey, long_keys_differ_by_session_and_process) {
  std::set<std::string> keys;
  for (std::uint32_t session = 0; session < 100; ++session)
    for (const char* const process : {"one", "other"}) keys.insert(cancel_key(process, session, 5, true));
  EXPECT_EQ(keys.size(), 200U);
}

}  // namespace
}  // namespace turnout::proxy
