#include <gtest/gtest.h>

#include "proxy/fetched_secrets.h"

namespace turnout::proxy {
namespace {

std::optional<protocol::pg::Secret> plain(const std::string& text) {
  protocol::pg::Secret secret;
  secret.kind = protocol::pg::Secret::Kind::plain;
  secret.text = text;
  return secret;
}

TEST(FetchedSecrets, an_answer_is_believed_for_its_time) {
  FetchedSecrets secrets;
  EXPECT_FALSE(secrets.find("ann", 1'000).is_known);
  secrets.put("ann", plain("x"), 1'000, 30'000, 10);
  secrets.put("bob", std::nullopt, 1'000, 30'000, 10);
  EXPECT_EQ(secrets.find("ann", 30'999).secret->text.view(), "x");
  EXPECT_FALSE(secrets.find("ann", 31'000).is_known);
  EXPECT_TRUE(secrets.find("bob", 1'999).is_known);
  EXPECT_FALSE(secrets.find("bob", 1'999).secret);
  EXPECT_FALSE(secrets.find("bob", 2'000).is_known) << "a user who is unknown may be made at any moment";
  secrets.put("ann", plain("y"), 40'000, 0, 10);
  EXPECT_FALSE(secrets.find("ann", 40'000).is_known) << "cache_time: 0 asks each time";
  secrets.put("ann", plain("y"), 50'000, 1, 10);
  secrets.clear();
  EXPECT_FALSE(secrets.find("ann", 50'000).is_known);
}

TEST(FetchedSecrets, a_failed_login_asks_again_but_not_for_every_guess) {
  FetchedSecrets secrets;
  secrets.put("ann", plain("x"), 1'000, 30'000, 10);
  secrets.doubt("ann", 1'999);
  EXPECT_TRUE(secrets.find("ann", 1'999).is_known);
  secrets.doubt("ann", 2'000);
  EXPECT_FALSE(secrets.find("ann", 2'000).is_known);
  secrets.doubt("nobody", 2'000);
}

TEST(FetchedSecrets, never_more_than_its_limit) {
  FetchedSecrets secrets;
  for (std::uint64_t i = 0; i < 100; ++i) {
    secrets.put("user" + std::to_string(i), i % 3 == 0 ? std::nullopt : plain("x"), 1'000 + i, 30'000, 10);
    ASSERT_LE(secrets.size(), 10U);
    ASSERT_TRUE(secrets.find("user" + std::to_string(i), 1'000 + i).is_known);
  }
  EXPECT_TRUE(secrets.find("user90", 1'100).is_known) << "the oldest went";
  EXPECT_FALSE(secrets.find("user89", 1'100).is_known);
}

}  // namespace
}  // namespace turnout::proxy
