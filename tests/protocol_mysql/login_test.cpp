// The two roles against each other, each step lost or altered; and each against what real servers and clients said.
#include "protocol/mysql/login.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>

#include "protocol/mysql/ed25519.h"
#include "protocol/mysql/reply.h"
#include "tests/protocol_mysql/golden.h"

namespace turnout::protocol::mysql {
namespace {

using test::Golden;
using Kind = Secret::Kind;
using Status = LoginStep::Status;

constexpr std::string_view password = "correct horse, battery";
constexpr std::string_view salt = "12345678901234567890";

std::shared_ptr<const RsaKey> our_key() {
  static const std::shared_ptr<const RsaKey> key = RsaKey::make();
  return key;
}

Secret secret_of(Kind kind, std::string_view of = password) {
  switch (kind) {
    case Kind::empty:
    case Kind::unproven:
      return {kind, {}};
    case Kind::plain:
      return {kind, std::string(of)};
    case Kind::native_hash:
      return {kind, std::string(view_of(sha1(view_of(sha1(of)))))};
    case Kind::native_once:
      return {kind, std::string(view_of(sha1(of)))};
    case Kind::sha2_once:
      return {kind, std::string(view_of(sha256(of)))};
    case Kind::crypt:
      return {kind, "$A$005$" + std::string(salt) + sha256_crypt(of, salt, 5000)};
  }
  return {};
}

Nonce nonce_of(std::uint8_t first) {
  Nonce nonce{};
  for (std::size_t i = 0; i < nonce.size(); ++i) nonce[i] = static_cast<std::uint8_t>(first + i);
  return nonce;
}

ClientLogin::Input ours() {
  ClientLogin::Input input;
  input.server_version = "8.4.0-turnout";
  input.connection_id = 7;
  input.offered = offer(~Capabilities{0} & ~mariadb_mask, std::nullopt, false);
  input.client_host = "10.0.0.1";
  input.nonce = nonce_of(1);
  input.switch_nonce = nonce_of(100);
  return input;
}

ServerLogin::Input theirs(Secret secret) {
  ServerLogin::Input input;
  input.user = "ann";
  input.database = "shop";
  input.secret = std::move(secret);
  input.attributes = {{"program_name", "test"}};
  return input;
}

struct Outcome {
  LoginStep client, server;  // what ClientLogin (our server role) and ServerLogin ended with
  std::size_t to_server = 0, to_client = 0;
  bool was_clear = false;  // the password went over the wire as it is, outside of TLS
  bool has_tls = false;
};

// `change` may alter a packet on its way; false: it is lost, and the conversation ends there.
using Change = std::function<bool(std::size_t number, std::string& packet)>;

Outcome run(ClientLogin& client, ServerLogin& server, std::optional<Secret> known, const Change& change = {}) {
  Outcome outcome;
  std::deque<std::pair<bool, std::string>> road;  // to the ServerLogin?
  std::size_t number = 0;
  const auto send = [&](bool to_client, const std::string& stream) {
    outcome.was_clear = outcome.was_clear || (!outcome.has_tls && stream.find(password) != std::string::npos);
    if (!stream.empty()) road.emplace_back(to_client, stream);
  };
  outcome.client = client.start();
  send(true, outcome.client.send);
  bool is_welcomed = false;
  for (;;) {
    if (outcome.client.status == Status::done && !is_welcomed) {
      is_welcomed = true;
      std::string payload;
      put_ok(payload, {0, 0, status::autocommit, 0, {}, {}, false}, client.agreed());
      std::string stream;
      put_message(stream, client.next_number(), payload);
      send(true, stream);
    }
    if (road.empty()) return outcome;
    auto [to_client, stream] = std::move(road.front());
    road.pop_front();
    for (Bytes left = bytes_of(stream); !left.empty();) {
      Header header;
      if (!read_header(left, header) || header.total() > left.size()) throw std::runtime_error("not whole packets");
      std::string packet(text(left.first(header.total())));
      left = left.subspan(header.total());
      if (change && !change(number++, packet)) return outcome;
      const Bytes payload = bytes_of(packet).subspan(header_bytes);
      if (to_client) {
        ++outcome.to_client;
        outcome.server = server.on_message(header.number, payload);
        send(false, outcome.server.send);
        if (outcome.server.status == Status::failed) return outcome;
        continue;
      }
      ++outcome.to_server;
      outcome.client = client.on_message(header.number, payload);
      if (outcome.client.status == Status::start_tls) {
        outcome.has_tls = true;
        outcome.server = server.tls_started();
        send(false, outcome.server.send);
        continue;
      }
      if (outcome.client.status == Status::user) outcome.client = client.answer_for(known);
      send(true, outcome.client.send);
    }
    if (outcome.client.status == Status::failed && road.empty()) return outcome;
  }
}

enum class Way { clear, tls, rsa };

// Every secret that we may know of a client, with every secret that a client may have, by every way.
TEST(Login, EverySecretByEveryWay) {
  struct Case {
    Kind known;
    Kind held;
    Way way;
    bool gets_in;
    const char* plugin = "caching_sha2_password";
  };
  const Case cases[] = {
      {Kind::plain, Kind::plain, Way::clear, true},
      {Kind::plain, Kind::plain, Way::tls, true},
      {Kind::plain, Kind::plain, Way::rsa, true},
      {Kind::plain, Kind::plain, Way::clear, true, "mysql_native_password"},
      {Kind::plain, Kind::sha2_once, Way::clear, true},
      {Kind::plain, Kind::native_once, Way::clear, true},
      {Kind::plain, Kind::empty, Way::clear, false},
      {Kind::empty, Kind::empty, Way::clear, true},
      {Kind::empty, Kind::empty, Way::tls, true},
      {Kind::empty, Kind::plain, Way::clear, false},
      {Kind::empty, Kind::plain, Way::tls, false},
      {Kind::native_hash, Kind::plain, Way::clear, true},
      {Kind::native_hash, Kind::plain, Way::tls, true, "mysql_native_password"},
      {Kind::native_hash, Kind::native_once, Way::clear, true},
      {Kind::native_once, Kind::plain, Way::clear, true},
      {Kind::native_hash, Kind::empty, Way::clear, false},
      {Kind::sha2_once, Kind::plain, Way::clear, true},
      {Kind::sha2_once, Kind::sha2_once, Way::clear, true},
      {Kind::crypt, Kind::plain, Way::tls, true},
      {Kind::crypt, Kind::plain, Way::rsa, true},
      {Kind::crypt, Kind::plain, Way::clear, false},
      {Kind::crypt, Kind::plain, Way::tls, true, "mysql_native_password"},
      {Kind::unproven, Kind::plain, Way::tls, true},
      {Kind::unproven, Kind::plain, Way::rsa, true},
      {Kind::unproven, Kind::plain, Way::clear, false},
      {Kind::unproven, Kind::sha2_once, Way::tls, false},
  };
  for (const Case& one : cases) {
    for (const bool is_wrong : {false, true}) {
      ClientLogin::Input input = ours();
      input.plugin = one.plugin;
      if (one.way == Way::tls) input.offered |= capability::tls;
      if (one.way == Way::rsa) input.key = our_key();
      ClientLogin client(input);
      ServerLogin::Input asking = theirs(secret_of(one.held, is_wrong ? "wrong" : password));
      asking.may_fetch_key = true;
      ServerLogin server(asking);
      const Outcome outcome = run(client, server, secret_of(one.known));
      const std::string what = std::to_string(static_cast<int>(one.known)) + " known, " +
                               std::to_string(static_cast<int>(one.held)) + " held, way " +
                               std::to_string(static_cast<int>(one.way)) + (is_wrong ? ", wrong" : "");
      const bool gets_in = one.gets_in && (!is_wrong || one.known == Kind::unproven || one.held == Kind::empty);
      EXPECT_EQ(outcome.client.status == Status::done, gets_in) << what << ": " << outcome.client.detail;
      EXPECT_EQ(outcome.server.status == Status::done, gets_in) << what << ": " << outcome.server.message;
      EXPECT_FALSE(outcome.was_clear) << what;
      EXPECT_EQ(outcome.has_tls, one.way == Way::tls) << what;
      if (!gets_in && outcome.client.status == Status::failed) {
        EXPECT_EQ(outcome.client.error_number, 1045) << what;
        EXPECT_EQ(outcome.server.message, outcome.client.message) << what;
      }
    }
  }
}

TEST(Login, WhatIsLearnedLogsInElsewhere) {
  struct Case {
    Kind known;
    Kind learned;
  };
  for (const auto& [known, learned] : {Case{Kind::native_hash, Kind::native_once}, Case{Kind::crypt, Kind::plain},
                                       Case{Kind::unproven, Kind::plain}}) {
    ClientLogin::Input input = ours();
    input.offered |= capability::tls;
    ClientLogin client(input);
    ServerLogin server(theirs(secret_of(Kind::plain)));
    ASSERT_EQ(run(client, server, secret_of(known)).client.status, Status::done);
    ASSERT_TRUE(client.learned());
    EXPECT_EQ(client.learned()->kind, learned);
    EXPECT_EQ(client.learned()->text, secret_of(learned).text);
  }
  // A hash that would do is passed over where whole passwords are wanted.
  ClientLogin::Input input = ours();
  input.offered |= capability::tls;
  input.learns_passwords = true;
  ClientLogin client(input);
  ServerLogin server(theirs(secret_of(Kind::plain)));
  ASSERT_EQ(run(client, server, secret_of(Kind::sha2_once)).client.status, Status::done);
  EXPECT_EQ(client.learned()->text, password);
}

// Nobody can tell a user that is not there from a wrong password.
TEST(Login, UnknownUsersLookLikeWrongPasswords) {
  for (const bool with_tls : {false, true}) {
    std::vector<std::size_t> packets;
    std::vector<std::string> messages;
    for (const bool is_there : {false, true}) {
      ClientLogin::Input input = ours();
      if (with_tls) input.offered |= capability::tls;
      ClientLogin client(input);
      ServerLogin server(theirs(secret_of(Kind::plain, "wrong")));
      const Outcome outcome = run(client, server, is_there ? std::optional(secret_of(Kind::plain)) : std::nullopt);
      EXPECT_EQ(outcome.client.status, Status::failed);
      EXPECT_NE(outcome.client.detail, "");
      packets.push_back(outcome.to_client);
      messages.push_back(outcome.client.message);
    }
    EXPECT_EQ(packets[0], packets[1]);
    EXPECT_EQ(messages[0], messages[1]);
    EXPECT_EQ(messages[0], "Access denied for user 'ann'@'10.0.0.1' (using password: YES)");
  }
}

// Each packet lost, cut, or with a byte changed: somebody may fail, nobody gets in with a wrong password.
TEST(Login, EachStepFailing) {
  for (const bool is_wrong : {false, true}) {
    for (const Kind known : {Kind::plain, Kind::native_hash, Kind::crypt}) {
      for (std::size_t step = 0; step < 8; ++step) {
        for (const int damage : {0, 1, 2, 3}) {
          ClientLogin::Input input = ours();
          input.key = our_key();
          ClientLogin client(input);
          ServerLogin::Input asking = theirs(secret_of(Kind::plain, is_wrong ? "wrong" : password));
          asking.may_fetch_key = true;
          ServerLogin server(asking);
          const Outcome outcome =
              run(client, server, secret_of(known), [step, damage](std::size_t number, std::string& packet) {
                if (number != step) return true;
                if (damage == 0) return false;
                if (damage == 1) packet.resize(header_bytes + (packet.size() - header_bytes) / 2);
                if (damage == 2) packet[packet.size() - 1] = static_cast<char>(packet.back() ^ 1);
                if (damage == 3) packet.append("more");
                return true;
              });
          if (is_wrong) {
            EXPECT_NE(outcome.client.status, Status::done) << step << ' ' << damage;
          }
          if (outcome.client.status == Status::failed) {
            EXPECT_NE(outcome.client.error_number, 0);
            EXPECT_EQ(outcome.client.sqlstate.size(), 5U);
          }
        }
      }
    }
  }
}

TEST(Login, NumbersOutOfOrderEndIt) {
  ClientLogin client(ours());
  static_cast<void>(client.start());
  EXPECT_EQ(client.on_message(0, bytes_of("x")).error_number, 1156);
  EXPECT_EQ(client.on_message(1, bytes_of("x")).status, Status::failed) << "and it stays so";
  ServerLogin server(theirs({}));
  EXPECT_EQ(server.on_message(1, bytes_of("x")).status, Status::failed);
}

TEST(Login, AClientMustUseTlsWhereItIsRequired) {
  ClientLogin::Input input = ours();
  input.offered |= capability::tls;
  input.requires_tls = true;
  ClientLogin client(input);
  ServerLogin::Input asking = theirs(secret_of(Kind::plain));
  asking.tls = ServerLogin::Tls::never;
  ServerLogin server(asking);
  EXPECT_EQ(run(client, server, secret_of(Kind::plain)).server.error_number, 3159);
  ServerLogin::Input strict = theirs(secret_of(Kind::plain));
  strict.tls = ServerLogin::Tls::required;
  ServerLogin stubborn(strict);
  ClientLogin without(ours());
  EXPECT_EQ(run(without, stubborn, secret_of(Kind::plain)).server.status, Status::failed);
}

TEST(Login, AClientThatCompressesUnaskedIsToldSo) {
  for (const bool compresses : {false, true}) {
    ClientLogin client(ours());
    static_cast<void>(client.start());
    HandshakeResponse response;
    response.capabilities = always | (compresses ? capability::compress : Capabilities{0});
    response.user = "ann";
    std::string payload;
    put_handshake_response(payload, response);
    const LoginStep step = client.on_message(1, bytes_of(payload));
    EXPECT_EQ(step.status, compresses ? Status::failed : Status::user);
    EXPECT_EQ(step.error_number, compresses ? 1235 : 0);
  }
}

// libmariadb with a default_auth of its own: it says nothing, and waits.
TEST(Login, WhoNamesAnotherMethodAndSaysNothingIsAsked) {
  for (const bool says_nothing : {true, false}) {
    ClientLogin::Input input = ours();
    input.plugin = sha2_plugin;
    ClientLogin client(input);
    static_cast<void>(client.start());
    HandshakeResponse response;
    response.capabilities = always | capability::plugin_auth;
    response.user = "ann";
    response.plugin = native_plugin;
    if (!says_nothing) response.auth = view_of(native_scramble(sha1(password), view_of(nonce_of(1))));
    std::string payload;
    put_handshake_response(payload, response);
    ASSERT_EQ(client.on_message(1, bytes_of(payload)).status, Status::user);
    const LoginStep step = client.answer_for(secret_of(Kind::plain));
    ASSERT_EQ(step.status, says_nothing ? Status::more : Status::done);
    if (!says_nothing) continue;
    const auto asked = parse_auth_switch(bytes_of(step.send).subspan(header_bytes));
    ASSERT_TRUE(asked);
    EXPECT_EQ(asked->plugin, sha2_plugin);
    const Sha256 answer = sha2_scramble(sha256(password), asked->data.substr(0, nonce_bytes));
    EXPECT_EQ(client.on_message(3, bytes_of(view_of(answer))).status, Status::done);
  }
}

TEST(Login, ChangeOfUserUsesAFreshNonce) {
  for (const bool is_wrong : {false, true}) {
    ChangeUser change;
    change.user = "ann";
    change.plugin = native_plugin;
    change.auth = view_of(native_scramble(sha1(password), view_of(nonce_of(1))));  // with the greeting's
    ClientLogin client(ours(), change, always, 0);
    EXPECT_EQ(client.start().status, Status::user);
    EXPECT_EQ(client.user(), "ann");
    const LoginStep step = client.answer_for(secret_of(Kind::plain));
    ASSERT_EQ(step.status, Status::more);
    Header header;
    ASSERT_TRUE(read_header(bytes_of(step.send), header));
    EXPECT_EQ(header.number, 1);
    const auto asked = parse_auth_switch(bytes_of(step.send).subspan(header_bytes));
    ASSERT_TRUE(asked);
    EXPECT_EQ(asked->plugin, sha2_plugin);
    const std::string nonce(asked->data.substr(0, nonce_bytes));
    EXPECT_EQ(nonce, view_of(nonce_of(100)));
    const Sha256 answer = sha2_scramble(sha256(is_wrong ? "wrong" : password), nonce);
    EXPECT_EQ(client.on_message(2, bytes_of(view_of(answer))).status, is_wrong ? Status::failed : Status::done);
  }
}

// libmariadb would answer for mysql_native_password with the nonce of its login.
TEST(Login, ChangeOfUserAsksLibmariadbForWhatReadsTheNonce) {
  const auto asked_of = [](const char* name, Kind kind) {
    ChangeUser change;
    change.user = "ann";
    change.plugin = native_plugin;
    change.attributes = {{"_client_name", name}};
    ClientLogin::Input input = ours();
    input.plugin = native_plugin;
    ClientLogin client(input, change, always, 0);
    static_cast<void>(client.start());
    const LoginStep step = client.answer_for(secret_of(kind));
    const auto asked = parse_auth_switch(bytes_of(step.send).subspan(header_bytes));
    EXPECT_TRUE(asked && asked->data.substr(0, nonce_bytes) == view_of(nonce_of(100))) << "a new one, whoever asks";
    return asked ? std::string(asked->plugin) : std::string();
  };
  EXPECT_EQ(asked_of("libmariadb", Kind::plain), sha2_plugin);
  EXPECT_EQ(asked_of("mysqlnd", Kind::plain), native_plugin);
  EXPECT_EQ(asked_of("libmariadb", Kind::native_hash), native_plugin) << "a secret that nothing else is made from";
}

TEST(Login, AHostileServerGetsNoPasswordInClear) {
  for (const char* demand : {"\1\4", "\1-----BEGIN PUBLIC KEY-----",
                             "\xfe"
                             "mysql_clear_password\0",
                             "\xfe"
                             "sha256_password"}) {
    ServerLogin server(theirs(secret_of(Kind::plain)));
    std::string greeting;
    put_greeting(greeting, {"8.4.0", 1, required_of_server | capability::protocol_41 | capability::long_password, 45, 2,
                            std::string(salt), sha2_plugin});
    const LoginStep first = server.on_message(0, bytes_of(greeting));
    ASSERT_EQ(first.status, Status::more);
    std::string asked = demand;
    if (asked[0] == '\xfe') asked += std::string(1, '\0') + std::string(salt) + std::string(1, '\0');
    const LoginStep step = server.on_message(2, bytes_of(asked));
    EXPECT_EQ(step.status, Status::failed) << demand;
    EXPECT_EQ(step.send, "");
  }
}

// ---- pass-through --------------------------------------------------------------------------------------------------

struct PassedThrough {
  Outcome outcome;
  std::optional<Secret> learned;
};

PassedThrough pass_through(std::string_view remembered, std::string_view theirs_is, Way way, std::string_view plugin) {
  ClientLogin::Input input = ours();
  input.plugin = plugin;
  if (way == Way::tls) input.offered |= capability::tls;
  if (way == Way::rsa) input.key = our_key();
  ClientLogin client(input);
  ServerLogin::Input asking = theirs({theirs_is.empty() ? Kind::empty : Kind::plain, std::string(theirs_is)});
  asking.may_fetch_key = true;
  ServerLogin server(asking);
  PassedThrough passed{run(client, server, Secret{Kind::unproven, std::string(remembered)}), {}};
  if (passed.outcome.client.status == Status::done) passed.learned = client.learned();
  return passed;
}

// What a server has accepted lately needs no way for a whole password; whatever else is said is taken whole, or not.
TEST(PassThrough, WhatIsRememberedIsShownByAScramble) {
  for (const std::string_view plugin : {sha2_plugin, native_plugin}) {
    for (const Way way : {Way::clear, Way::tls, Way::rsa}) {
      const PassedThrough right = pass_through(password, password, way, plugin);
      ASSERT_TRUE(right.learned) << plugin << right.outcome.client.detail;
      EXPECT_EQ(right.learned->text, password);
      EXPECT_EQ(right.outcome.to_server, way == Way::tls ? 2U : 1U) << "one answer, and no question behind it";
      EXPECT_FALSE(right.outcome.was_clear);

      const PassedThrough other = pass_through("of yesterday", password, way, plugin);
      EXPECT_EQ(other.learned.has_value(), way != Way::clear) << plugin;
      EXPECT_FALSE(other.outcome.was_clear);
      if (other.learned) {
        EXPECT_EQ(other.learned->text, password) << "the client's, for a server to prove";
        EXPECT_EQ(other.learned->kind, Kind::plain);
      } else {
        EXPECT_EQ(other.outcome.client.error_number, 1045);
      }
    }
  }
}

// Where no password is asked for, somebody is known by the host that he comes from: that would be ours.
TEST(PassThrough, NoPasswordIsNoProof) {
  for (const std::string_view remembered : {std::string_view(), password})
    for (const std::string_view plugin : {sha2_plugin, native_plugin})
      for (const Way way : {Way::clear, Way::tls, Way::rsa})
        EXPECT_EQ(pass_through(remembered, "", way, plugin).outcome.client.error_number, 1045);
}

// Who has logged in lately cannot be found out by asking.
TEST(PassThrough, TheRememberedLookLikeTheUnknown) {
  for (const std::string_view plugin : {sha2_plugin, native_plugin}) {
    for (const Way way : {Way::clear, Way::tls, Way::rsa}) {
      for (const std::string_view guess : {"wrong", ""}) {
        const Outcome known = pass_through(password, guess, way, plugin).outcome;
        const Outcome unknown = pass_through("", guess, way, plugin).outcome;
        EXPECT_EQ(known.to_client, unknown.to_client) << plugin << static_cast<int>(way) << guess;
        EXPECT_EQ(known.to_server, unknown.to_server);
        EXPECT_EQ(known.client.status, unknown.client.status);
        EXPECT_EQ(known.client.message, unknown.client.message);
      }
    }
  }
}

TEST(PassThrough, AClientOfOneMethodHearsThatItNeedsAnother) {
  for (const std::string_view remembered : {std::string_view("of yesterday"), std::string_view(), password}) {
    ClientLogin::Input input = ours();
    input.key = our_key();
    ClientLogin client(input);
    static_cast<void>(client.start());
    HandshakeResponse response;
    response.capabilities = always & ~capability::plugin_auth;
    response.user = "ann";
    response.auth = view_of(native_scramble(sha1(password), view_of(nonce_of(1))));
    std::string payload;
    put_handshake_response(payload, response);
    ASSERT_EQ(client.on_message(1, bytes_of(payload)).status, Status::user);
    const LoginStep step = client.answer_for(Secret{Kind::unproven, std::string(remembered)});
    EXPECT_EQ(step.status, remembered == password ? Status::done : Status::failed);
    EXPECT_EQ(step.error_number, remembered == password ? 0 : 1251);
  }
}

// ---- against recordings --------------------------------------------------------------------------------------------

// Our client role says byte for byte what the recorded one said, where nothing is random.
TEST(Login, RealServersLetUsIn) {
  std::size_t logged_in = 0;
  for (const Golden& golden : test::all_golden()) {
    if (!golden.is_login()) continue;
    const std::string known = golden.facts.at("password");
    ServerLogin::Input input;
    input.user = golden.facts.at("user");
    input.secret = known == "-" ? Secret{} : Secret{Kind::plain, known};
    input.attributes = {{"program_name", "golden"}};
    input.tls = golden.facts.at("tls") == "1" ? ServerLogin::Tls::required : ServerLogin::Tls::never;
    input.may_fetch_key = true;
    if (golden.name == "login_empty") input.database = "shop";
    if (golden.name == "login_no_database") input.database = "missing";
    input.dialect = capability::multi_statements | capability::multi_results | capability::statement_multi_results;
    input.message_bytes_max = 1U << 24;
    ServerLogin server(input);
    LoginStep step;
    std::string said;  // packets that we want to send
    for (const auto& packet : golden.packets) {
      if (step.status != Status::more) break;
      if (!packet.from_client) {
        step = server.on_message(packet.header().number, packet.payload());
        if (step.status == Status::start_tls) {
          said += step.send;
          step = server.tls_started();
        }
        said += step.send;
        continue;
      }
      // RSA is random; a switch of plugins is asked for by beginning with another one than we do.
      const bool is_random = packet.payload().size() == 256;
      const bool begins_otherwise = golden.name.ends_with("_switch") || golden.name.ends_with("unknown");
      if (!is_random && !begins_otherwise) {
        EXPECT_EQ(said.substr(0, packet.raw.size()), packet.raw) << golden.what();
      }
      said.erase(0, begins_otherwise ? said.size() : std::min(said.size(), packet.raw.size()));
    }
    const bool is_right =
        golden.name != "login_wrong" && golden.name != "login_unknown" && golden.name != "login_no_database";
    EXPECT_EQ(step.status == Status::done, is_right) << golden.what() << ": " << step.message;
    EXPECT_EQ(step.status == Status::failed, !is_right) << golden.what();
    if (is_right) {
      ++logged_in;
      EXPECT_EQ(server.capabilities(), golden.capabilities()) << golden.what();
      EXPECT_EQ(server.is_mariadb(), golden.server == "mariadb10");
    } else {
      EXPECT_EQ(step.error_number, golden.name == "login_no_database" ? 1049 : 1045);
    }
  }
  EXPECT_GE(logged_in, 10U);
}

// Our server role understands real clients: what they said in a recorded login, with its nonce, is right, or wrong.
TEST(Login, RealClientsGetIn) {
  std::size_t checked = 0;
  for (const Golden& golden : test::all_golden()) {
    const bool is_pymysql = golden.name == "client_pymysql";
    const bool is_native = golden.name == "login_native" || is_pymysql;
    if (!is_native && golden.name != "login_sha2_fast" && golden.name != "login_wrong" &&
        golden.name != "client_mysql" && golden.name != "client_mariadb")
      continue;
    ++checked;
    const auto greeting = parse_greeting(golden.packets.at(0).payload());
    ASSERT_TRUE(greeting);
    ClientLogin::Input input = ours();
    for (std::size_t i = 0; i < nonce_bytes; ++i) input.nonce[i] = static_cast<std::uint8_t>(greeting->nonce[i]);
    input.offered = offer(greeting->capabilities, std::nullopt, false);
    input.plugin = greeting->plugin;
    ClientLogin client(input);
    static_cast<void>(client.start());
    const LoginStep asked = client.on_message(1, golden.packets.at(1).payload());
    ASSERT_EQ(asked.status, Status::user) << golden.what() << ' ' << asked.detail;
    const bool has_password = client.user() != "app";
    const LoginStep step = client.answer_for(has_password ? secret_of(Kind::plain) : Secret{});
    EXPECT_EQ(step.status == Status::done, golden.name != "login_wrong") << golden.what() << ' ' << step.detail;
  }
  EXPECT_GE(checked, 6U);
}

TEST(Login, MariaDbsOwnSignatureIsOurs) {
  const Golden golden = test::load_golden("mariadb10", "client_ed25519");
  std::size_t seen = 0;
  for (std::size_t i = 0; i + 1 < golden.packets.size(); ++i) {
    const auto change = parse_auth_switch(golden.packets[i].payload());
    if (golden.packets[i].from_client || !change || change->plugin != ed25519_plugin) continue;
    ++seen;
    const auto signature = sign_ed25519(password, change->data);
    ASSERT_TRUE(signature);
    EXPECT_EQ(*signature, text(golden.packets[i + 1].payload()));
  }
  EXPECT_EQ(seen, 1U);
}

}  // namespace
}  // namespace turnout::protocol::mysql
