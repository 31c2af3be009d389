// Our two login roles against each other: every method with every kind of secret on both sides.
#include <gtest/gtest.h>

#include "protocol/pg/login.h"
#include "protocol/pg/md5.h"
#include "protocol/pg/scram.h"
#include "tests/protocol/conversation.h"

namespace turnout::protocol::pg {
namespace {

using test::Message;
using test::nonce_of;
using test::Outcome;
using test::plain;
using test::run_login;
using Status = LoginStep::Status;

constexpr std::string_view password = "correct horse";

Secret md5_of(std::string_view of) {
  Secret secret;
  secret.kind = Secret::Kind::md5;
  secret.text = md5_secret("ann", of).value();
  return secret;
}
Secret verifier_of(std::string_view of) {
  Secret secret;
  secret.kind = Secret::Kind::scram_verifier;
  secret.text = build_verifier(derive_verifier("ann", of, "some server").value());
  return secret;
}
Secret keys_of(std::string_view of) {
  const ScramKeys keys = derive_keys(of, mock_verifier("ann", "some server").salt, 4096).value();
  Secret secret;
  secret.kind = Secret::Kind::scram_keys;
  secret.client_key = text(keys.client_key);
  secret.server_key = text(keys.server_key);
  return secret;
}

ClientLogin::Input known(ClientMethod method, std::optional<Secret> secret) {
  ClientLogin::Input input;
  input.method = method;
  input.user = "ann";
  input.secret = std::move(secret);
  input.mock_key = "key of this process";
  input.nonce = nonce_of(100);
  input.md5_salt = {1, 2, 3, 4};
  return input;
}

ServerLogin::Input asking(Secret secret) {
  ServerLogin::Input input;
  input.user = "ann";
  input.database = "shop";
  input.secret = std::move(secret);
  input.nonce = nonce_of(1);
  return input;
}

struct Row {
  std::string_view what;
  ClientMethod method;
  std::optional<Secret> stored;  // ours, who check
  Secret given;                  // theirs, who ask
  bool works;
};

std::vector<Row> rows() {
  constexpr auto trust = ClientMethod::trust;
  constexpr auto md5 = ClientMethod::md5;
  constexpr auto scram = ClientMethod::scram_sha_256;
  const Secret none;
  return {
      {"trust needs nothing", trust, std::nullopt, none, true},
      {"md5: plain, plain", md5, plain("correct horse"), plain("correct horse"), true},
      {"md5: plain, md5", md5, plain("correct horse"), md5_of(password), true},
      {"md5: md5, plain", md5, md5_of(password), plain("correct horse"), true},
      {"md5: md5, md5", md5, md5_of(password), md5_of(password), true},
      {"md5: wrong", md5, md5_of(password), plain("wrong"), false},
      {"md5: empty", md5, md5_of(password), plain(""), false},
      {"md5: empty secret", md5, none, plain(""), false},
      {"md5: a verifier cannot", md5, verifier_of(password), plain("correct horse"), false},
      {"md5: keys cannot", md5, keys_of(password), plain("correct horse"), false},
      {"md5: unknown user", md5, std::nullopt, plain("correct horse"), false},
      {"md5: nothing to answer with", md5, md5_of(password), none, false},
      {"md5: keys cannot answer", md5, md5_of(password), keys_of(password), false},
      {"scram: plain, plain", scram, plain("correct horse"), plain("correct horse"), true},
      {"scram: verifier, plain", scram, verifier_of(password), plain("correct horse"), true},
      {"scram: verifier, keys", scram, verifier_of(password), keys_of(password), true},
      {"scram: keys of another password", scram, verifier_of(password), keys_of("wrong"), false},
      {"scram: keys of another salt", scram, plain("correct horse"), keys_of(password), false},
      {"scram: wrong", scram, verifier_of(password), plain("wrong"), false},
      {"scram: wrong, plain stored", scram, plain("correct horse"), plain("wrong"), false},
      {"scram: md5 secret cannot", scram, md5_of(password), plain("correct horse"), false},
      {"scram: keys alone cannot check", scram, keys_of(password), plain("correct horse"), false},
      {"scram: empty secret cannot", scram, none, plain(""), false},
      {"scram: unknown user", scram, std::nullopt, plain("correct horse"), false},
      {"scram: md5 secret cannot answer", scram, verifier_of(password), md5_of(password), false},
      {"scram: verifier cannot answer", scram, verifier_of(password), verifier_of(password), false},
      {"scram: nothing to answer with", scram, verifier_of(password), none, false},
  };
}

TEST(LoginPair, every_method_with_every_secret) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.what);
    ClientLogin client(known(row.method, row.stored));
    ServerLogin server(asking(row.given));
    const Outcome outcome = run_login(client, server);
    if (row.works) {
      EXPECT_EQ(outcome.client.status, Status::done) << outcome.client.detail;
      EXPECT_EQ(outcome.server.status, Status::done) << outcome.server.message;
      EXPECT_EQ(server.backend_pid(), 7U);
      EXPECT_EQ(server.cancel_key(), std::string("\0\0\0\x09", 4));
      EXPECT_EQ(client.learned().has_value(), row.method == ClientMethod::scram_sha_256);
    } else {
      EXPECT_TRUE(outcome.client.status == Status::failed || outcome.server.status == Status::failed);
      EXPECT_NE(outcome.client.status, Status::done);
      EXPECT_NE(outcome.server.status, Status::done);
      EXPECT_FALSE(client.learned());
    }
    if (outcome.client.status == Status::failed) {
      EXPECT_EQ(outcome.client.sqlstate, "28P01");
      EXPECT_EQ(outcome.client.message, "password authentication failed for user \"ann\"");
      EXPECT_TRUE(outcome.client.send.empty());
      EXPECT_FALSE(outcome.client.detail.empty());
    }
    if (outcome.server.status == Status::failed) {
      EXPECT_EQ(outcome.server.sqlstate, "28000");
      EXPECT_NE(outcome.server.message.find("ann"), std::string::npos) << outcome.server.message;
    }
  }
}

TEST(LoginPair, learned_keys_log_in_to_a_server_with_the_same_verifier) {
  const Secret stored = verifier_of(password);
  ClientLogin first(known(ClientMethod::scram_sha_256, stored));
  ServerLogin app(asking(plain("correct horse")));
  ASSERT_EQ(run_login(first, app).client.status, Status::done);
  ASSERT_TRUE(first.learned());
  EXPECT_EQ(first.learned()->kind, Secret::Kind::scram_keys);

  ClientLogin::Input again = known(ClientMethod::scram_sha_256, stored);
  again.nonce = nonce_of(7);
  ClientLogin real_server(again);
  ServerLogin pass_through(asking(*first.learned()));
  const Outcome outcome = run_login(real_server, pass_through);
  EXPECT_EQ(outcome.client.status, Status::done);
  EXPECT_EQ(outcome.server.status, Status::done);
}

// Who asks must not learn from our answers whether the user exists: same messages, same lengths, same words.
TEST(LoginPair, unknown_users_look_like_wrong_passwords) {
  struct Pair {
    ClientMethod method;
    Secret stored;
  };
  for (const Pair& pair :
       {Pair{ClientMethod::md5, plain("correct horse")}, Pair{ClientMethod::md5, md5_of(password)},
        Pair{ClientMethod::md5, verifier_of(password)}, Pair{ClientMethod::scram_sha_256, plain("correct horse")},
        Pair{ClientMethod::scram_sha_256, verifier_of(password)},
        Pair{ClientMethod::scram_sha_256, md5_of(password)}}) {
    const auto run = [&](std::optional<Secret> stored) {
      ClientLogin client(known(pair.method, std::move(stored)));
      ServerLogin server(asking(plain("wrong")));
      return run_login(client, server);
    };
    const Outcome wrong = run(pair.stored);
    const Outcome unknown = run(std::nullopt);
    ASSERT_EQ(wrong.to_client.size(), unknown.to_client.size());
    for (std::size_t i = 0; i < wrong.to_client.size(); ++i) {
      EXPECT_EQ(wrong.to_client[i].type, unknown.to_client[i].type);
      EXPECT_EQ(wrong.to_client[i].body.size(), unknown.to_client[i].body.size());
    }
    EXPECT_EQ(wrong.client.sqlstate, unknown.client.sqlstate);
    EXPECT_EQ(wrong.client.message, unknown.client.message);
    EXPECT_EQ(wrong.client.status, Status::failed);
    EXPECT_EQ(unknown.client.status, Status::failed);
    EXPECT_NE(wrong.client.detail, unknown.client.detail) << "our own log may know";
  }
}

TEST(LoginPair, the_mock_salt_of_a_user_is_the_same_each_time) {
  const auto challenge = [](std::string user) {
    ClientLogin::Input input = known(ClientMethod::scram_sha_256, std::nullopt);
    input.user = std::move(user);
    ClientLogin client(input);
    ServerLogin server(asking(plain("x")));
    return run_login(client, server).to_client.at(1).body;
  };
  EXPECT_EQ(challenge("ann"), challenge("ann"));
  EXPECT_NE(challenge("ann"), challenge("bob"));
}

TEST(LoginPair, channel_binding) {
  struct Binding {
    std::string_view what;
    std::string ours, theirs;
    bool required, works, is_plus;
  };
  for (const Binding& row : {
           Binding{"both see the same certificate", "hash", "hash", false, true, true},
           Binding{"required and there", "hash", "hash", true, true, true},
           Binding{"somebody between us shows another certificate", "hash", "other", false, false, true},
           Binding{"we have no TLS, they have: they say y, which is true", "", "hash", false, true, false},
           Binding{"they cannot bind: n", "hash", "", false, true, false},
           Binding{"required but we do not offer it", "", "hash", true, false, false},
           Binding{"required without TLS", "", "", true, false, false},
       }) {
    SCOPED_TRACE(row.what);
    ClientLogin::Input ours = known(ClientMethod::scram_sha_256, verifier_of(password));
    ours.channel_binding_data = row.ours;
    ServerLogin::Input theirs = asking(plain("correct horse"));
    theirs.channel_binding_data = row.theirs;
    theirs.require_channel_binding = row.required;
    ClientLogin client(ours);
    ServerLogin server(theirs);
    const Outcome outcome = run_login(client, server);
    EXPECT_EQ(outcome.client.status == Status::done, row.works) << outcome.client.detail;
    EXPECT_EQ(outcome.server.status == Status::done, row.works) << outcome.server.message;
    if (!outcome.to_server.empty()) {
      EXPECT_EQ(outcome.to_server[0].body.starts_with("SCRAM-SHA-256-PLUS"), row.is_plus);
    }
  }
}

// The offer of -PLUS is taken out on the way: the client says "y", and we know that we did offer it.
TEST(LoginPair, downgrade_of_the_offer_is_noticed) {
  ClientLogin::Input ours = known(ClientMethod::scram_sha_256, verifier_of(password));
  ours.channel_binding_data = "hash";
  ServerLogin::Input theirs = asking(plain("correct horse"));
  theirs.channel_binding_data = "hash";
  ClientLogin client(ours);
  ServerLogin server(theirs);
  const Outcome outcome = run_login(client, server, [](bool to_client, std::size_t number, Message& message) {
    if (to_client && number == 0) message.body = std::string("\0\0\0\x0aSCRAM-SHA-256\0\0", 19);
    return true;
  });
  EXPECT_EQ(outcome.client.status, Status::failed);
  EXPECT_EQ(outcome.client.sqlstate, "08P01");
}

TEST(LoginPair, require_channel_binding_refuses_every_other_method) {
  for (const ClientMethod method : {ClientMethod::trust, ClientMethod::md5}) {
    ServerLogin::Input theirs = asking(plain("correct horse"));
    theirs.channel_binding_data = "hash";
    theirs.require_channel_binding = true;
    ClientLogin client(known(method, plain("correct horse")));
    ServerLogin server(theirs);
    const Outcome outcome = run_login(client, server);
    EXPECT_EQ(outcome.server.status, Status::failed);
    EXPECT_TRUE(outcome.to_server.empty()) << "nothing of the password may be sent";
  }
}

// Each message of each conversation: cut at every length, made longer, each byte changed, its type changed.
TEST(LoginPair, damaged_messages_never_let_anybody_in_who_should_not) {
  for (const ClientMethod method : {ClientMethod::md5, ClientMethod::scram_sha_256}) {
    const Secret given = method == ClientMethod::md5 ? plain("correct horse") : keys_of(password);
    const auto run = [&](const test::Change& change, std::optional<Secret> stored) {
      ClientLogin client(known(method, std::move(stored)));
      ServerLogin server(asking(given));
      return run_login(client, server, change);
    };
    // Keys rather than the password: the arithmetic from the password is slow and not what is tried here.
    const Secret right = method == ClientMethod::md5 ? md5_of(password) : verifier_of(password);
    std::vector<std::size_t> sizes;
    run([&](bool, std::size_t, const Message& message) { return sizes.push_back(message.body.size()), true; }, right);
    for (std::size_t victim = 0; victim < sizes.size(); ++victim) {
      for (std::size_t at = 0; at <= sizes[victim]; ++at) {
        for (int kind = 0; kind < 4; ++kind) {
          const auto damage = [&](bool, std::size_t number, Message& message) {
            if (number != victim) return true;
            if (kind == 0) message.body.resize(at);
            if (kind == 1 && at < message.body.size()) message.body[at] = static_cast<char>(message.body[at] ^ 0x55);
            if (kind == 2) message.body.insert(at, 1, 'x');
            if (kind == 3) message.type = static_cast<char>(at);
            return true;
          };
          EXPECT_NE(run(damage, std::nullopt).client.status, Status::done) << victim << ' ' << at << ' ' << kind;
          const Outcome outcome = run(damage, right);
          const bool is_login = victim < (method == ClientMethod::md5 ? 2U : 4U);
          const bool is_unchanged = (kind == 0 || kind == 1) && at == sizes[victim];
          // A changed md5 salt is a wrong password for us and nothing for the asker: it ends in failure as well.
          if (is_login && kind != 3 && !is_unchanged) {
            EXPECT_NE(outcome.client.status, Status::done) << victim << ' ' << at << ' ' << kind;
          }
        }
      }
    }
  }
}

TEST(LoginPair, a_conversation_that_stops_anywhere_is_not_done) {
  for (const ClientMethod method : {ClientMethod::trust, ClientMethod::md5, ClientMethod::scram_sha_256}) {
    for (std::size_t stop = 0; stop < 20; ++stop) {
      ClientLogin client(known(method, plain("correct horse")));
      ServerLogin server(asking(plain("correct horse")));
      bool is_stopped = false;
      const Outcome outcome = run_login(client, server, [&](bool, std::size_t number, const Message&) {
        is_stopped = is_stopped || number == stop;
        return number < stop;
      });
      EXPECT_EQ(outcome.server.status == Status::done, !is_stopped) << stop;
    }
  }
}

}  // namespace
}  // namespace turnout::protocol::pg
