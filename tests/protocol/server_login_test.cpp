// Hostile and real servers: what a server may send while we log in to it.
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

ServerLogin::Input input() {
  ServerLogin::Input in;
  in.user = "ann";
  in.database = "shop";
  in.secret = plain("secret");
  in.nonce = nonce_of(0);
  return in;
}

std::string u32(std::uint32_t value) {
  std::string out;
  Writer(out).u32(value);
  return out;
}

LoginStep feed(ServerLogin& login, char type, std::string_view body) {
  return login.on_message(type, bytes_of(body));
}

std::string mechanisms(std::string_view list) {
  return u32(10).append(list) + '\0' + '\0';
}

struct Replay {
  LoginStep step;
  std::string said;  // startup packet and what followed
};

ServerLogin::Input golden_input(const test::Golden& golden) {
  ServerLogin::Input in = input();
  in.user = golden.facts.at("user");
  in.database = golden.name == "login_no_database" ? "missing" : "postgres";
  if (golden.name == "login_trust") in.parameters = {{"application_name", "golden"}};
  if (golden.facts.contains("password")) in.secret = plain(golden.facts.at("password"));
  if (golden.facts.contains("channel_binding"))
    in.channel_binding_data = test::from_hex(golden.facts.at("channel_binding"));
  if (golden.facts.contains("version")) {
    in.protocol_version = static_cast<std::uint32_t>(std::stoul(golden.facts.at("version")));
    in.parameters = {{"_pq_.turnout", "1"}};
  }
  return in;
}

Replay replay(ServerLogin& login, const test::Golden& golden) {
  Replay result;
  result.said = login.startup_packet();
  for (const auto& message : golden.messages) {
    if (message.from_client) continue;
    result.step = feed(login, message.type(), message.body());
    result.said += result.step.send;
  }
  return result;
}

TEST(ServerLogin, says_to_a_real_server_what_an_independent_client_said) {
  for (const std::string& name : test::golden_names()) {
    if (!name.starts_with("login_")) continue;
    SCOPED_TRACE(name);
    const test::Golden golden = test::load_golden(name);
    ServerLogin login(golden_input(golden));
    const Replay result = replay(login, golden);
    std::string recorded;
    for (const auto& message : golden.messages) {
      if (message.from_client) recorded += message.raw;
    }
    EXPECT_EQ(result.said, recorded);
    const auto& last = golden.messages.back();
    if (last.type() == 'E') {
      EXPECT_EQ(result.step.status, Status::failed);
      EXPECT_EQ(result.step.raw_error, last.body());
      EXPECT_EQ(result.step.sqlstate, name == "login_no_database" ? "3D000" : "28P01");
      EXPECT_FALSE(result.step.message.empty());
    } else {
      EXPECT_EQ(result.step.status, Status::done) << result.step.message;
      EXPECT_NE(login.backend_pid(), 0U);
      EXPECT_EQ(login.cancel_key().size(), 4U);
      EXPECT_GT(login.parameters().size(), 10U);
    }
  }
}

TEST(ServerLogin, recorded_messages_cut_at_every_byte) {
  for (const std::string& name : test::golden_names()) {
    if (!name.starts_with("login_")) continue;
    const test::Golden golden = test::load_golden(name);
    ServerLogin before(golden_input(golden));
    for (const auto& message : golden.messages) {
      if (message.from_client || message.type() == 'E') continue;
      // A challenge that ends in the midst of its iteration count is a challenge with another count.
      const bool is_challenge = message.body().find(",i=4096") != std::string::npos;
      const std::size_t end = message.body().size() - (is_challenge ? 3 : 0);
      for (std::size_t size = 0; size < end; ++size) {
        ServerLogin login = before;
        const LoginStep step = feed(login, message.type(), message.body().substr(0, size));
        EXPECT_EQ(step.status, Status::failed) << name << ' ' << message.comment << ' ' << size;
        EXPECT_FALSE(step.message.empty());
        EXPECT_EQ(step.sqlstate.size(), 5U);
      }
      ASSERT_NE(feed(before, message.type(), message.body()).status, Status::failed);
    }
  }
}

TEST(ServerLogin, scram_with_any_byte_of_the_server_changed_is_not_done) {
  const test::Golden golden = test::load_golden("login_scram_plus");
  for (std::size_t victim = 0; victim < golden.messages.size(); ++victim) {
    const auto& message = golden.messages[victim];
    if (message.from_client || message.type() != 'R') continue;
    for (std::size_t at = 0; at < message.body().size(); ++at) {
      // The plain mechanism is offered beside -PLUS; to lose its name is no harm.
      if (victim == 1 && at >= 4 + 19) continue;
      test::Golden changed = golden;
      char& byte = changed.messages[victim].raw[header_bytes + at];
      byte = static_cast<char>(byte ^ 1);
      ServerLogin::Input in = golden_input(golden);
      in.require_channel_binding = true;
      ServerLogin login(in);
      EXPECT_NE(replay(login, changed).step.status, Status::done) << victim << ' ' << at;
    }
  }
}

TEST(ServerLogin, startup_packet_cannot_be_injected_into) {
  ServerLogin::Input in = input();
  in.user = std::string("ann\0user\0postgres", 17);
  in.database = "";
  in.parameters = {{"", "ends the list"}, {"options", std::string("a\0b", 3)}};
  const std::string packet = ServerLogin(in).startup_packet();
  const StartupPacket parsed = parse_startup(bytes_of(packet), 10'000);
  ASSERT_EQ(parsed.kind, StartupPacket::Kind::startup);
  const std::vector<std::pair<std::string, std::string>> want{{"user", "ann?user?postgres"}, {"options", "a?b"}};
  EXPECT_EQ(parsed.parameters, want);
}

TEST(ServerLogin, first_requests_that_are_refused) {
  struct Row {
    std::string_view why, sqlstate;
    char type;
    std::string body;
  };
  for (const Row& row : {
           Row{"no code", "08P01", 'R', ""},
           Row{"code cut", "08P01", 'R', std::string("\0\0\0", 3)},
           Row{"Kerberos", "28000", 'R', u32(2)},
           Row{"GSS", "28000", 'R', u32(7)},
           Row{"a method of the future", "28000", 'R', u32(0xffffffff)},
           Row{"ok with a tail", "08P01", 'R', u32(0) + "x"},
           Row{"md5 without salt", "08P01", 'R', u32(5)},
           Row{"md5 with a long salt", "08P01", 'R', u32(5) + "12345"},
           Row{"clear with a tail", "08P01", 'R', u32(3) + "x"},
           Row{"SASL without mechanisms", "08P01", 'R', u32(10)},
           Row{"SASL with an empty list", "28000", 'R', u32(10) + '\0'},
           Row{"SASL list not ended", "08P01", 'R', u32(10) + "SCRAM-SHA-256" + '\0'},
           Row{"SASL name not ended", "08P01", 'R', u32(10) + "SCRAM-SHA-256"},
           Row{"SASL list with a tail", "08P01", 'R', mechanisms("SCRAM-SHA-256") + "x"},
           Row{"other mechanisms only", "28000", 'R', mechanisms("OAUTHBEARER")},
           Row{"PLUS only, but no TLS", "28000", 'R', mechanisms("SCRAM-SHA-256-PLUS")},
           Row{"too long", "08P01", 'R', mechanisms(std::string(5000, 'x'))},
           Row{"challenge too early", "08P01", 'R', u32(11) + "r=a,s=AAAA,i=1"},
           Row{"outcome too early", "08P01", 'R', u32(12) + "v=AAAA"},
           Row{"ready too early", "08P01", 'Z', "I"},
           Row{"key too early", "08P01", 'K', u32(1) + u32(2)},
           Row{"parameter too early", "08P01", 'S', std::string("a\0b\0", 4)},
           Row{"a row", "08P01", 'D', ""},
           Row{"no type", "08P01", '\0', ""},
           Row{"newer protocol than asked", "08P01", 'v', u32(196610) + u32(0)},
           Row{"options that are not there", "08P01", 'v', u32(196608) + u32(0xffffffff)},
           Row{"options cut", "08P01", 'v', u32(196608) + u32(1) + "a"},
           Row{"options with a tail", "08P01", 'v', u32(196608) + u32(0) + "a"},
       }) {
    ServerLogin login(input());
    const LoginStep step = feed(login, row.type, row.body);
    EXPECT_EQ(step.status, Status::failed) << row.why;
    EXPECT_EQ(step.sqlstate, row.sqlstate) << row.why;
    EXPECT_TRUE(step.send.empty()) << row.why;
    EXPECT_EQ(feed(login, 'R', u32(0)).status, Status::failed) << "no second chance after: " << row.why;
  }
}

TEST(ServerLogin, a_server_may_ask_once_only) {
  for (const std::string& request : {u32(3), u32(5) + "salt", mechanisms("SCRAM-SHA-256")}) {
    for (const std::string& again : {u32(3), u32(5) + "salt", mechanisms("SCRAM-SHA-256"), u32(12) + "v=AAAA"}) {
      ServerLogin login(input());
      EXPECT_EQ(feed(login, 'R', request).status, Status::more);
      EXPECT_EQ(feed(login, 'R', again).status, Status::failed);
    }
  }
}

TEST(ServerLogin, a_server_that_skips_its_proof_is_not_trusted) {
  ServerLogin after_first(input());
  ASSERT_EQ(feed(after_first, 'R', mechanisms("SCRAM-SHA-256")).status, Status::more);
  EXPECT_EQ(feed(after_first, 'R', u32(0)).sqlstate, "28000");

  ServerLogin after_proof(input());
  ASSERT_EQ(feed(after_proof, 'R', mechanisms("SCRAM-SHA-256")).status, Status::more);
  const std::string nonce = base64_encode(text(nonce_of(0))) + "more";
  ASSERT_EQ(feed(after_proof, 'R', u32(11) + "r=" + nonce + ",s=c2FsdA==,i=1").status, Status::more);
  EXPECT_EQ(feed(after_proof, 'R', u32(0)).sqlstate, "28000");
}

TEST(ServerLogin, challenges_that_are_refused) {
  const std::string ours = base64_encode(text(nonce_of(0)));
  struct Row {
    std::string_view why;
    std::string challenge;
  };
  for (const Row& row : {
           Row{"empty", ""},
           Row{"other nonce", "r=other,s=c2FsdA==,i=1"},
           Row{"our nonce only", "r=" + ours + ",s=c2FsdA==,i=1"},
           Row{"nonce with a blank", "r=" + ours + " x,s=c2FsdA==,i=1"},
           Row{"nonce too long", "r=" + ours + std::string(600, 'x') + ",s=c2FsdA==,i=1"},
           Row{"no salt", "r=" + ours + "x,s=,i=1"},
           Row{"salt is not base64", "r=" + ours + "x,s=c2FsdA=,i=1"},
           Row{"salt too long", "r=" + ours + "x,s=" + base64_encode(std::string(300, 's')) + ",i=1"},
           Row{"no iterations", "r=" + ours + "x,s=c2FsdA=="},
           Row{"zero iterations", "r=" + ours + "x,s=c2FsdA==,i=0"},
           Row{"negative iterations", "r=" + ours + "x,s=c2FsdA==,i=-1"},
           Row{"iterations that buy our CPU", "r=" + ours + "x,s=c2FsdA==,i=1000001"},
           Row{"iterations beyond 32 bits", "r=" + ours + "x,s=c2FsdA==,i=4294967297"},
           Row{"mandatory extension", "m=x,r=" + ours + "x,s=c2FsdA==,i=1"},
       }) {
    ServerLogin login(input());
    ASSERT_EQ(feed(login, 'R', mechanisms("SCRAM-SHA-256")).status, Status::more);
    const LoginStep step = feed(login, 'R', u32(11) + row.challenge);
    EXPECT_EQ(step.status, Status::failed) << row.why;
    EXPECT_TRUE(step.send.empty()) << row.why;
  }
}

TEST(ServerLogin, outcomes_that_are_refused) {
  for (const std::string outcome :
       {"", "v=", "v=AAAA", "e=other-error", "x=1", "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}) {
    ServerLogin login(input());
    ASSERT_EQ(feed(login, 'R', mechanisms("SCRAM-SHA-256")).status, Status::more);
    const std::string nonce = base64_encode(text(nonce_of(0))) + "more";
    ASSERT_EQ(feed(login, 'R', u32(11) + "r=" + nonce + ",s=c2FsdA==,i=1").status, Status::more);
    EXPECT_EQ(feed(login, 'R', u32(12) + outcome).status, Status::failed) << outcome;
  }
}

TEST(ServerLogin, error_responses_with_fields_missing) {
  struct Row {
    std::string body, sqlstate, message;
  };
  const std::string silent = "server refused the login without saying why";
  for (const Row& row : {
           Row{std::string("SFATAL\0C53300\0Mtoo many\0\0", 25), "53300", "too many"},
           Row{std::string("SFATAL\0Mno code\0\0", 17), "08P01", "no code"},
           Row{std::string("C53300\0\0", 8), "53300", silent},
           Row{std::string("Cbad\0Mx\0\0", 9), "08P01", "x"},
           Row{std::string("C5330\n\0Mx\0\0", 11), "08P01", "x"},
           Row{std::string("C57P03\0Mcut off", 15), "57P03", silent},
           Row{"", "08P01", silent},
           Row{std::string("\0", 1), "08P01", silent},
           Row{std::string("Mafter\0\0C53300\0", 15), "08P01", "after"},
       }) {
    ServerLogin login(input());
    const LoginStep step = feed(login, 'E', row.body);
    EXPECT_EQ(step.status, Status::failed);
    EXPECT_EQ(step.sqlstate, row.sqlstate);
    EXPECT_EQ(step.message, row.message);
    EXPECT_EQ(step.raw_error, row.body);
  }
}

TEST(ServerLogin, after_authentication) {
  const auto logged_in = [](std::uint32_t version = protocol_3_0) {
    ServerLogin::Input in = input();
    in.protocol_version = version;
    ServerLogin login(in);
    EXPECT_EQ(feed(login, 'R', u32(0)).status, Status::more);
    return login;
  };
  struct Row {
    std::string_view why;
    char type;
    std::string body;
  };
  for (const Row& row : {
           Row{"ok twice", 'R', u32(0)},
           Row{"late negotiation", 'v', u32(196608) + u32(0)},
           Row{"ready in a transaction", 'Z', "T"},
           Row{"ready without status", 'Z', ""},
           Row{"ready with a tail", 'Z', "II"},
           Row{"key cut", 'K', u32(1) + "abc"},
           Row{"key too long for 3.0", 'K', u32(1) + "abcde"},
           Row{"parameter without value", 'S', std::string("a\0", 2)},
           Row{"parameter without name", 'S', std::string("\0b\0", 3)},
           Row{"parameter with a tail", 'S', std::string("a\0b\0c", 5)},
           Row{"parameter too long", 'S', "a" + std::string(1, '\0') + std::string(9000, 'x') + std::string(1, '\0')},
       }) {
    ServerLogin login = logged_in();
    EXPECT_EQ(feed(login, row.type, row.body).status, Status::failed) << row.why;
  }
  ServerLogin login = logged_in();
  EXPECT_EQ(feed(login, 'S', std::string("a\0b\0", 4)).status, Status::more);
  EXPECT_EQ(feed(login, 'S', std::string("a\0c\0", 4)).status, Status::more);
  EXPECT_EQ(feed(login, 'N', "anything").status, Status::more);
  EXPECT_EQ(login.parameters(), (std::vector<std::pair<std::string, std::string>>{{"a", "c"}}))
      << "the last one counts";
  EXPECT_EQ(feed(login, 'K', u32(5) + "abcd").status, Status::more);
  EXPECT_EQ(feed(login, 'Z', "I").status, Status::done);
  EXPECT_EQ(feed(login, 'Z', "I").status, Status::failed);
  ServerLogin second_key = logged_in();
  EXPECT_EQ(feed(second_key, 'K', u32(5) + "abcd").status, Status::more);
  EXPECT_EQ(feed(second_key, 'K', u32(5) + "abcd").status, Status::failed);
  ServerLogin long_key = logged_in(196610);
  EXPECT_EQ(feed(long_key, 'K', u32(5) + std::string(256, 'k')).status, Status::more);
  EXPECT_EQ(long_key.cancel_key().size(), 256U);
  ServerLogin longer_key = logged_in(196610);
  EXPECT_EQ(feed(longer_key, 'K', u32(5) + std::string(257, 'k')).status, Status::failed);
}

TEST(ServerLogin, a_server_that_has_only_3_0_is_held_to_it) {
  for (const bool agrees : {false, true}) {
    ServerLogin::Input in = input();
    in.protocol_version = protocol_3_2;
    ServerLogin login(in);
    if (!agrees) {
      ASSERT_EQ(feed(login, 'v', u32(protocol_3_0) + u32(0)).status, Status::more);
    }
    ASSERT_EQ(feed(login, 'R', u32(0)).status, Status::more);
    EXPECT_EQ(feed(login, 'K', u32(5) + std::string(32, 'k')).status, agrees ? Status::more : Status::failed);
  }
}

TEST(ServerLogin, an_endless_login_ends) {
  ServerLogin notices(input());
  ServerLogin parameters(input());
  ASSERT_EQ(feed(parameters, 'R', u32(0)).status, Status::more);
  int taken_notices = 0;
  int taken_parameters = 0;
  for (int i = 0; i < 5000; ++i) {
    if (feed(notices, 'N', "x").status == Status::more) ++taken_notices;
    const std::string body = "p" + std::to_string(i) + '\0' + '\0';
    if (feed(parameters, 'S', body).status == Status::more) ++taken_parameters;
  }
  EXPECT_EQ(taken_notices, 1024);
  EXPECT_EQ(taken_parameters, 256);
}

}  // namespace
}  // namespace turnout::protocol::pg
