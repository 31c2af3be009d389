#include "protocol/pg/scram.h"

#include <gtest/gtest.h>

#include "protocol/pg/md5.h"
#include "tests/protocol/golden.h"

namespace turnout::protocol::pg {
namespace {

using test::from_hex;

// RFC 7677 section 3.
constexpr std::string_view client_first_bare = "n=user,r=rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view server_first =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr std::string_view final_without_proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr std::string_view proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr std::string_view server_signature = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

TEST(Scram, vectors_of_rfc_7677) {
  const auto salt = base64_decode("W22ZaJ0SNY7soEsUEjb6gQ==", 64);
  ASSERT_TRUE(salt);
  const auto keys = derive_keys("pencil", *salt, 4096);
  ASSERT_TRUE(keys);
  const std::string auth_message =
      std::string(client_first_bare).append(",").append(server_first).append(",").append(final_without_proof);
  EXPECT_EQ(base64_encode(exclusive_or(keys->client_key, hmac_sha256(sha256(keys->client_key), auth_message))), proof);
  EXPECT_EQ(base64_encode(hmac_sha256(keys->server_key, auth_message)), server_signature);
}

TEST(Scram, hmac_vector_of_rfc_4231) {
  const std::string want = from_hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  const ScramKey got = hmac_sha256("Jefe", "what do ya want for nothing?");
  EXPECT_EQ(text(got), want);
}

TEST(Scram, verifier_of_a_real_server_fits_its_password) {
  const auto golden = test::load_golden("login_scram");
  const std::string written = golden.facts.at("secret");
  const auto verifier = parse_verifier(written);
  ASSERT_TRUE(verifier);
  EXPECT_EQ(build_verifier(*verifier), written);
  const auto keys = derive_keys(golden.facts.at("password"), verifier->salt, verifier->iterations);
  ASSERT_TRUE(keys);
  EXPECT_EQ(sha256(keys->client_key), verifier->stored_key);
  EXPECT_EQ(keys->server_key, verifier->server_key);
}

TEST(Scram, damaged_verifiers_are_refused) {
  const std::string good = test::load_golden("login_scram").facts.at("secret");
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(parse_verifier(good.substr(0, size))) << size;
    EXPECT_FALSE(parse_verifier(good.substr(0, size) + "?" + good.substr(size + 1))) << size;
  }
  for (const std::string_view bad : {
           "SCRAM-SHA-256$0:c2FsdA==$AAAA:AAAA",
           "SCRAM-SHA-256$-1:c2FsdA==$AAAA:AAAA",
           "SCRAM-SHA-256$99999999999:c2FsdA==$AAAA:AAAA",
           "SCRAM-SHA-256$4096:$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
           "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
           "SCRAM-SHA-1$4096:c2FsdA==$AAAA:AAAA",
       }) {
    EXPECT_FALSE(parse_verifier(bad)) << bad;
  }
}

TEST(Scram, derived_verifier_is_stable_for_a_user_and_has_the_salt_of_the_mock) {
  const auto one = derive_verifier("ann", "secret", "key");
  const auto two = derive_verifier("ann", "secret", "key");
  const auto other = derive_verifier("bob", "secret", "key");
  ASSERT_TRUE(one && two && other);
  EXPECT_EQ(build_verifier(*one), build_verifier(*two));
  EXPECT_NE(one->salt, other->salt);
  EXPECT_EQ(one->salt, mock_verifier("ann", "key").salt);
  EXPECT_NE(one->salt, mock_verifier("ann", "another key").salt);
  EXPECT_NE(one->stored_key, mock_verifier("ann", "key").stored_key);
}

TEST(Scram, saslprep) {
  struct Row {
    std::string_view given, wanted, why;
  };
  for (const Row& row : {
           Row{"plain ASCII \x01\x7f", "plain ASCII \x01\x7f", "ASCII is left alone"},
           Row{"", "", "empty"},
           Row{"gr\u00fcn", "gr\u00fcn", "already in normal form"},
           Row{"a\u00a0b", "a b", "no-break space"},
           Row{"a\u3000b", "a b", "ideographic space"},
           Row{"I\u00adX", "IX", "RFC 4013 example: soft hyphen"},
           Row{"\u00ad", "\u00ad", "nothing would be left"},
           Row{"a\xffz\xc2\xa0", "a\xffz\xc2\xa0", "not UTF-8: as it is"},
           Row{"\xc0\xaf\xc2\xa0", "\xc0\xaf\xc2\xa0", "overlong"},
           Row{"\xed\xa0\x80\xc2\xa0", "\xed\xa0\x80\xc2\xa0", "surrogate"},
           Row{"\xf0\x9f\x98\x80\xc2\xa0", "\xf0\x9f\x98\x80 ", "four bytes"},
           Row{"\xc2\xa0\xf0\x9f\x98", "\xc2\xa0\xf0\x9f\x98", "cut off"},
       }) {
    EXPECT_EQ(saslprep(row.given), row.wanted) << row.why;
  }
}

TEST(Scram, base64_is_strict_and_there_and_back_is_the_same) {
  for (std::size_t size = 0; size < 70; ++size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(i * 37 + size);
    const std::string written = base64_encode(bytes);
    EXPECT_EQ(base64_decode(written, 70), bytes);
    if (size > 0) {
      EXPECT_FALSE(base64_decode(written, size - 1)) << "longer than allowed";
      EXPECT_FALSE(base64_decode(written.substr(1), 70));
    }
  }
  for (const std::string_view bad :
       {"A", "AA", "AAA", "A===", "====", "AA=A", "AAA ", "AA\n=", "AB==", "AAB=", "AA==AAAA", "A-_A"}) {
    EXPECT_FALSE(base64_decode(bad, 70)) << bad;
  }
}

TEST(Scram, attributes_and_numbers) {
  std::string_view list = "r=a,s=,i=1";
  EXPECT_FALSE(take_attribute(list, 's'));
  EXPECT_EQ(take_attribute(list, 'r'), "a");
  EXPECT_EQ(take_attribute(list, 's'), "");
  EXPECT_EQ(take_attribute(list, 'i'), "1");
  EXPECT_FALSE(take_attribute(list, 'i'));
  EXPECT_EQ(parse_iterations("4096", 5000), 4096U);
  for (const std::string_view bad : {"", "0", "-1", "+1", " 1", "1 ", "5001", "4294967297", "1e3"}) {
    EXPECT_FALSE(parse_iterations(bad, 5000)) << bad;
  }
  EXPECT_TRUE(is_nonce("!~azAZ09"));
  for (const std::string_view bad : {"", "a,b", "a b", "a\x7f", "\xc3\xa4"}) EXPECT_FALSE(is_nonce(bad)) << bad;
}

TEST(Md5, answers_like_libpq) {
  EXPECT_EQ(md5_secret("user", "password"), "md54d45974e13472b5a0be3533de4666414");
  EXPECT_TRUE(is_md5_secret("md54d45974e13472b5a0be3533de4666414"));
  for (const std::string_view bad :
       {"", "md5", "md54D45974e13472b5a0be3533de4666414", "md54d45974e13472b5a0be3533de466641",
        "md54d45974e13472b5a0be3533de46664144", "MD54d45974e13472b5a0be3533de4666414"}) {
    EXPECT_FALSE(is_md5_secret(bad)) << bad;
    EXPECT_FALSE(md5_answer(bad, {1, 2, 3, 4})) << bad;
  }
  const auto golden = test::load_golden("login_md5");
  EXPECT_EQ(md5_secret(golden.facts.at("user"), golden.facts.at("password")), golden.facts.at("secret"));
}

}  // namespace
}  // namespace turnout::protocol::pg
