// Hostile clients: what a client may send while it logs in, a row a case.
#include <gtest/gtest.h>

#include "protocol/pg/login.h"
#include "protocol/pg/scram.h"
#include "tests/protocol/conversation.h"
#include "tests/protocol/golden.h"

namespace turnout::protocol::pg {
namespace {

using test::nonce_of;
using test::plain;
using Status = LoginStep::Status;

ClientLogin::Input input(ClientMethod method) {
  ClientLogin::Input in;
  in.method = method;
  in.user = "ann";
  in.secret = plain("secret");
  in.mock_key = "key";
  in.nonce = nonce_of(0);
  in.md5_salt = {9, 8, 7, 6};
  return in;
}

std::string initial(std::string_view mechanism, std::string_view data, std::int64_t length = -2) {
  std::string body;
  Writer writer(body);
  writer.cstring(mechanism);
  writer.u32(static_cast<std::uint32_t>(length == -2 ? static_cast<std::int64_t>(data.size()) : length)).raw(data);
  return body;
}

TEST(ClientLogin, first_messages_that_are_refused) {
  struct Row {
    std::string_view why;
    std::string body;
    std::string_view tls;
  };
  const std::string good = "n,,n=,r=abcdefgh";
  for (const Row& row : {
           Row{"empty", "", ""},
           Row{"no zero byte", "SCRAM-SHA-256", ""},
           Row{"no length", std::string("SCRAM-SHA-256\0", 14), ""},
           Row{"length is -1 (no initial response)", initial("SCRAM-SHA-256", good, -1), ""},
           Row{"length too large", initial("SCRAM-SHA-256", good, 17), ""},
           Row{"length too small", initial("SCRAM-SHA-256", good, 15), ""},
           Row{"length of 2 GB", initial("SCRAM-SHA-256", good, 0x7fffffff), ""},
           Row{"other mechanism", initial("PLAIN", good), ""},
           Row{"empty mechanism", initial("", good), ""},
           Row{"PLUS was not offered", initial("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc"), ""},
           Row{"PLUS without binding", initial("SCRAM-SHA-256-PLUS", good), "hash"},
           Row{"binding without PLUS", initial("SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=abc"), "hash"},
           Row{"another kind of binding", initial("SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=abc"), "hash"},
           Row{"y although we offered PLUS", initial("SCRAM-SHA-256", "y,,n=,r=abcdefgh"), "hash"},
           Row{"no header", initial("SCRAM-SHA-256", "n=,r=abcdefgh"), ""},
           Row{"header cut", initial("SCRAM-SHA-256", "n,"), ""},
           Row{"another identity", initial("SCRAM-SHA-256", "n,a=bob,n=,r=abcdefgh"), ""},
           Row{"mandatory extension", initial("SCRAM-SHA-256", "n,,m=x,n=,r=abcdefgh"), ""},
           Row{"no nonce", initial("SCRAM-SHA-256", "n,,n="), ""},
           Row{"empty nonce", initial("SCRAM-SHA-256", "n,,n=,r="), ""},
           Row{"nonce with a blank", initial("SCRAM-SHA-256", "n,,n=,r=abc def"), ""},
           Row{"nonce that is not ASCII", initial("SCRAM-SHA-256", "n,,n=,r=\xc3\xa4"), ""},
           Row{"nonce too long", initial("SCRAM-SHA-256", "n,,n=,r=" + std::string(513, 'a')), ""},
           Row{"message too long", initial("SCRAM-SHA-256", good + "," + std::string(5000, 'a')), ""},
       }) {
    ClientLogin::Input in = input(ClientMethod::scram_sha_256);
    in.channel_binding_data = row.tls;
    ClientLogin login(in);
    ASSERT_EQ(login.start().status, Status::more);
    const LoginStep step = login.on_message('p', bytes_of(row.body));
    EXPECT_EQ(step.status, Status::failed) << row.why;
    EXPECT_EQ(step.sqlstate, "08P01") << row.why;
    EXPECT_FALSE(step.message.empty());
    EXPECT_TRUE(step.send.empty());
    EXPECT_EQ(login.on_message('p', bytes_of(initial("SCRAM-SHA-256", good))).status, Status::failed)
        << "no second chance after: " << row.why;
  }
}

TEST(ClientLogin, names_and_extensions_in_the_first_message_are_allowed) {
  for (const std::string_view data :
       {"n,,n=,r=abcdefgh", "y,,n=,r=abcdefgh", "n,,n=somebody else,r=abcdefgh", "n,,n=,r=abcdefgh,x=extension"}) {
    ClientLogin login(input(ClientMethod::scram_sha_256));
    ASSERT_EQ(login.start().status, Status::more);
    EXPECT_EQ(login.on_message('p', bytes_of(initial("SCRAM-SHA-256", data))).status, Status::more) << data;
  }
}

TEST(ClientLogin, final_messages_that_are_refused) {
  const std::string nonce = "abcdefgh" + base64_encode(text(nonce_of(0)));
  const std::string proof = base64_encode(std::string(32, 'p'));
  struct Row {
    std::string_view why, sqlstate;
    std::string body;
  };
  for (const Row& row : {
           Row{"wrong proof", "28P01", "c=biws,r=" + nonce + ",p=" + proof},
           Row{"wrong proof with an extension", "28P01", "c=biws,r=" + nonce + ",x=1,p=" + proof},
           Row{"empty", "08P01", ""},
           Row{"no proof", "08P01", "c=biws,r=" + nonce},
           Row{"empty proof", "08P01", "c=biws,r=" + nonce + ",p="},
           Row{"short proof", "08P01", "c=biws,r=" + nonce + ",p=AAAA"},
           Row{"long proof", "08P01", "c=biws,r=" + nonce + ",p=" + base64_encode(std::string(33, 'p'))},
           Row{"text after the proof", "08P01", "c=biws,r=" + nonce + ",p=" + proof + ",x=1"},
           Row{"other binding", "08P01", "c=eSws,r=" + nonce + ",p=" + proof},
           Row{"other nonce", "08P01", "c=biws,r=abcdefgh,p=" + proof},
           Row{"nonce with a tail", "08P01", "c=biws,r=" + nonce + "x,p=" + proof},
           Row{"no binding", "08P01", "r=" + nonce + ",p=" + proof},
           Row{"only a proof", "08P01", ",p=" + proof},
       }) {
    ClientLogin login(input(ClientMethod::scram_sha_256));
    ASSERT_EQ(login.start().status, Status::more);
    ASSERT_EQ(login.on_message('p', bytes_of(initial("SCRAM-SHA-256", "n,,n=,r=abcdefgh"))).status, Status::more);
    const LoginStep step = login.on_message('p', bytes_of(row.body));
    EXPECT_EQ(step.status, Status::failed) << row.why;
    EXPECT_EQ(step.sqlstate, row.sqlstate) << row.why;
    EXPECT_FALSE(login.learned());
  }
}

TEST(ClientLogin, password_messages_that_are_refused) {
  struct Row {
    std::string_view why, sqlstate;
    std::string body;
  };
  for (const Row& row : {
           Row{"empty", "08P01", ""},
           Row{"no zero byte", "08P01", "md50123456789abcdef0123456789abcdef"},
           Row{"text after the zero byte", "08P01", std::string("md5\0x", 5)},
           Row{"too long", "08P01", std::string(5000, 'x') + '\0'},
           Row{"the password in clear", "28P01", std::string("secret\0", 7)},
           Row{"empty password", "28P01", std::string("\0", 1)},
       }) {
    ClientLogin login(input(ClientMethod::md5));
    ASSERT_EQ(login.start().status, Status::more);
    const LoginStep step = login.on_message('p', bytes_of(row.body));
    EXPECT_EQ(step.status, Status::failed) << row.why;
    EXPECT_EQ(step.sqlstate, row.sqlstate) << row.why;
  }
}

TEST(ClientLogin, messages_out_of_turn_are_refused) {
  for (const ClientMethod method : {ClientMethod::trust, ClientMethod::md5, ClientMethod::scram_sha_256}) {
    ClientLogin early(input(method));
    EXPECT_EQ(early.on_message('p', {}).status, Status::failed) << "before start";
    ClientLogin twice(input(method));
    const LoginStep first = twice.start();
    EXPECT_EQ(twice.start().status, Status::failed) << "two starts";
    EXPECT_EQ(first.status, method == ClientMethod::trust ? Status::done : Status::more);
    ClientLogin other_type(input(method));
    EXPECT_NE(other_type.start().status, Status::failed);
    EXPECT_EQ(other_type.on_message('Q', {}).status, Status::failed) << "not a password";
  }
}

// The recorded server's side must be ours, byte for byte, given its secret, its nonce and its salt.
TEST(ClientLogin, says_what_a_real_server_says) {
  for (const std::string name :
       {"login_trust", "login_md5", "login_md5_wrong", "login_scram", "login_scram_wrong", "login_scram_plus"}) {
    SCOPED_TRACE(name);
    const test::Golden golden = test::load_golden(name);
    std::vector<test::GoldenMessage> theirs, ours;
    for (const auto& message : golden.messages) {
      if (message.is_startup()) continue;
      if (message.from_client) theirs.push_back(message);
      if (message.type() == 'R') ours.push_back(message);
    }
    ClientLogin::Input in = input(ClientMethod::trust);
    in.user = golden.facts.at("user");
    if (name.starts_with("login_md5")) {
      in.method = ClientMethod::md5;
      const std::string_view salt = ours.at(0).body().substr(4);
      std::copy(salt.begin(), salt.end(), in.md5_salt.begin());
    } else if (name.starts_with("login_scram")) {
      in.method = ClientMethod::scram_sha_256;
      std::string_view challenge = ours.at(1).body().substr(4);
      const auto raw = base64_decode(take_attribute(challenge, 'r').value().substr(24), 64).value();
      ASSERT_EQ(raw.size(), in.nonce.size());
      std::copy(raw.begin(), raw.end(), in.nonce.begin());
    }
    if (golden.facts.contains("secret")) {
      in.secret = parse_userlist("\"x\" \"" + golden.facts.at("secret") + "\"").users.at(0).secret;
    }
    if (golden.facts.contains("channel_binding"))
      in.channel_binding_data = test::from_hex(golden.facts.at("channel_binding"));

    ClientLogin login(in);
    LoginStep step = login.start();
    std::string said = step.send;
    for (const auto& message : theirs) {
      step = login.on_message(message.type(), bytes_of(message.body()));
      said += step.send;
    }
    std::string recorded;
    for (const auto& message : ours) recorded += message.raw;
    EXPECT_EQ(said, recorded);
    EXPECT_EQ(step.status, name.ends_with("_wrong") ? Status::failed : Status::done) << step.detail;
  }
}

}  // namespace
}  // namespace turnout::protocol::pg
