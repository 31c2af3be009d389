// The arithmetic of passwords against known answers, and what a users file may say.
#include "protocol/mysql/password.h"

#include <gtest/gtest.h>

#include "protocol/mysql/ed25519.h"
#include "protocol/mysql/login.h"
#include "tests/protocol_mysql/golden.h"

namespace turnout::protocol::mysql {
namespace {

using test::from_hex;

// Of glibc's crypt(), and of `openssl passwd -5`.
TEST(Password, ShaCryptHasItsKnownAnswers) {
  struct Case {
    const char* password;
    const char* salt;
    std::uint32_t rounds;
    const char* digest;
  };
  const Case cases[] = {
      {"Hello world!", "saltstring", 5000, "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"},
      {"Hello world!", "saltstringsaltst", 10000, "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(sha256_crypt(one.password, one.salt, one.rounds), one.digest) << one.password;
  }
}

TEST(Password, NativeHashIsThatOfTheServer) {
  EXPECT_EQ(native_hash("password"), "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19");
  EXPECT_EQ(parse_native_hash("*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"), sha1(view_of(sha1("password"))));
  EXPECT_EQ(parse_native_hash("*2470c0c06dee42fd1618bb99005adca2ec9d1e19"), sha1(view_of(sha1("password"))));
  for (const char* wrong : {"", "*", "2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19",
                            "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E1", "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E1G"})
    EXPECT_EQ(parse_native_hash(wrong), std::nullopt) << wrong;
}

TEST(Password, ScramblesAreRecoveredOnlyWithWhatIsKept) {
  const std::string nonce = "abcdefghijklmnopqrst";
  const Sha1 once = sha1("secret");
  const std::string scramble(view_of(native_scramble(once, nonce)));
  EXPECT_EQ(recover_native(scramble, sha1(view_of(once)), nonce), once);
  EXPECT_EQ(recover_native(scramble, sha1(view_of(sha1("other"))), nonce), std::nullopt);
  EXPECT_EQ(recover_native(scramble, sha1(view_of(once)), "another nonce of 20."), std::nullopt);
  EXPECT_EQ(recover_native(scramble.substr(1), sha1(view_of(once)), nonce), std::nullopt);
  const Sha256 sha2_once = sha256("secret");
  const std::string sha2(view_of(sha2_scramble(sha2_once, nonce)));
  EXPECT_EQ(recover_sha2(sha2, sha256(view_of(sha2_once)), nonce), sha2_once);
  EXPECT_EQ(recover_sha2(sha2, sha256(view_of(sha256("other"))), nonce), std::nullopt);
  EXPECT_EQ(recover_sha2("", sha256(view_of(sha2_once)), nonce), std::nullopt);
}

TEST(Password, RsaThereAndBack) {
  const auto key = RsaKey::make();
  const std::string mixed = mixed_with_nonce(std::string("secret\0", 7), "nonce");
  EXPECT_NE(mixed, std::string("secret\0", 7));
  const auto encrypted = encrypt_for(key->public_pem(), mixed);
  ASSERT_TRUE(encrypted);
  EXPECT_EQ(encrypted->size(), 256U);
  EXPECT_EQ(key->decrypt(*encrypted), mixed);
  EXPECT_EQ(mixed_with_nonce(mixed, "nonce"), std::string("secret\0", 7));
  EXPECT_EQ(key->decrypt("not encrypted"), std::nullopt);
  EXPECT_EQ(encrypt_for("not a key", mixed), std::nullopt);
  EXPECT_EQ(encrypt_for(key->public_pem(), std::string(300, 'x')), std::nullopt) << "too long for OAEP";
}

// RFC 8032's key of 32 bytes is a password of 32 bytes here: section 7.1, TEST 2 and TEST 3.
TEST(Password, Ed25519HasTheKnownAnswers) {
  struct Case {
    const char* secret;
    const char* public_key;
    const char* message;
    const char* signature;
  };
  const Case cases[] = {
      {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
       "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
       "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302a"
       "eeb00d291612bb0c00"},
      {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
       "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
       "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed2"
       "8dc027beceea1ec40a"},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(ed25519_public_key(from_hex(one.secret)), from_hex(one.public_key));
    EXPECT_EQ(sign_ed25519(from_hex(one.secret), from_hex(one.message)), from_hex(one.signature));
  }
}

TEST(Users, SecretsOfEveryKind) {
  const std::string crypt = "$A$005$" + std::string("salt\"salt\nsalt8901234").substr(0, 20);
  const std::string kept = crypt + sha256_crypt("pw", std::string_view(crypt).substr(7), 5000);
  std::string hex = "0x";
  for (const char c : kept) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    hex += digits[static_cast<unsigned char>(c) >> 4U];
    hex += digits[static_cast<unsigned char>(c) & 15U];
  }
  const Users list = parse_users("\"plain\" \"pass\"\"word\"\n; comment\n\"none\" \"\"\n\"native\" \"" +
                                 native_hash("pw") + "\"\n\"crypt\" \"" + hex + "\"\n\"star\" \"*short\"\n");
  ASSERT_EQ(list.mistakes, std::vector<std::string>{});
  ASSERT_EQ(list.users.size(), 5U);
  EXPECT_EQ(list.users[0].secret.kind, Secret::Kind::plain);
  EXPECT_EQ(list.users[0].secret.text.view(), "pass\"word");
  EXPECT_EQ(list.users[1].secret.kind, Secret::Kind::empty);
  EXPECT_EQ(list.users[2].secret.kind, Secret::Kind::native_hash);
  EXPECT_EQ(list.users[2].secret.text.view(), view_of(sha1(view_of(sha1("pw")))));
  EXPECT_EQ(list.users[3].secret.kind, Secret::Kind::crypt);
  EXPECT_TRUE(is_right_password("pw", parse_sha256_crypt(list.users[3].secret.text).value()));
  EXPECT_FALSE(is_right_password("pv", parse_sha256_crypt(list.users[3].secret.text).value()));
  EXPECT_EQ(list.users[4].secret.kind, Secret::Kind::plain);
}

TEST(Users, MistakesHaveTheirPlace) {
  const Users list =
      parse_users("\"a\" \"*ZZ70C0C06DEE42FD1618BB99005ADCA2EC9D1E19\"\n\"b\" \"$A$005$short\"\n\"c\" \"x\n");
  ASSERT_EQ(list.mistakes.size(), 3U);
  EXPECT_TRUE(list.mistakes[0].starts_with("1:")) << list.mistakes[0];
  EXPECT_TRUE(list.mistakes[1].starts_with("2:")) << list.mistakes[1];
  EXPECT_TRUE(list.mistakes[2].starts_with("3:")) << list.mistakes[2];
  EXPECT_TRUE(list.users.empty());
}

TEST(Users, RoundsHaveTheirLimit) {
  const std::string tail(63, 'x');
  EXPECT_TRUE(parse_sha256_crypt("$A$005$" + tail));
  EXPECT_EQ(parse_sha256_crypt("$A$000$" + tail), std::nullopt);
  EXPECT_EQ(parse_sha256_crypt("$A$FFF$" + tail), std::nullopt);
  EXPECT_EQ(parse_sha256_crypt("$A$005$" + tail + "x"), std::nullopt);
}

}  // namespace
}  // namespace turnout::protocol::mysql
