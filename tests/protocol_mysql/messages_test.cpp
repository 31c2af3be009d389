// Greetings, responses, commands and replies: what real peers said, cut at every byte, falsified, and written again.
#include <gtest/gtest.h>

#include <algorithm>

#include "protocol/mysql/command.h"
#include "protocol/mysql/greeting.h"
#include "protocol/mysql/reply.h"
#include "protocol/mysql/session_changes.h"
#include "tests/protocol_mysql/golden.h"

namespace turnout::protocol::mysql {
namespace {

using test::all_golden;
using test::from_hex;
using test::Golden;

std::vector<const Golden*> with_logins() {
  std::vector<const Golden*> found;
  for (const Golden& golden : all_golden())
    if (!golden.is_conversation()) found.push_back(&golden);
  return found;
}

TEST(Messages, GreetingsOfRealServers) {
  for (const Golden* golden : with_logins()) {
    const Bytes payload = golden->packets.at(0).payload();
    const auto greeting = parse_greeting(payload);
    ASSERT_TRUE(greeting) << golden->what();
    EXPECT_EQ(greeting->is_mariadb(), golden->server == "mariadb10");
    EXPECT_EQ(greeting->nonce.size(), nonce_bytes);
    EXPECT_EQ(greeting->capabilities & required_of_server, required_of_server);
    EXPECT_EQ(greeting->plugin, golden->server == "mariadb10" ? "mysql_native_password" : "caching_sha2_password");
    EXPECT_EQ((greeting->capabilities & capability::bulk_execute) != 0, greeting->is_mariadb());
    std::string again;
    put_greeting(again, *greeting);
    EXPECT_EQ(again, text(payload)) << golden->what();
    for (std::size_t cut = 0; cut < payload.size(); ++cut) {
      const auto part = parse_greeting(payload.first(cut));
      // Nobody means less than this by a greeting; a name cut short is another name.
      if (part && part->plugin.empty()) {
        EXPECT_EQ(part->capabilities & capability::protocol_41 & ~Capabilities{0xffff}, 0U);
      }
    }
  }
}

TEST(Messages, ResponsesOfRealClients) {
  std::size_t seen = 0;
  for (const Golden* golden : with_logins()) {
    const auto& packet = golden->packets.at(1);
    ASSERT_TRUE(packet.from_client);
    const auto response = parse_handshake_response(packet.payload());
    ASSERT_TRUE(response) << golden->what();
    if (response->asks_for_tls) {
      EXPECT_TRUE(golden->packets.at(2).from_client) << "the same again, inside TLS";
      EXPECT_EQ(golden->facts.at("tls"), "1");
      continue;
    }
    ++seen;
    EXPECT_FALSE(response->user.empty());
    if (golden->is_login()) {
      EXPECT_EQ(response->user, golden->facts.at("user"));
      EXPECT_EQ(response->attributes, (Attributes{{"program_name", "golden"}}));
    }
    std::string again;
    put_handshake_response(again, *response);
    const auto twice = parse_handshake_response(bytes_of(again));
    ASSERT_TRUE(twice) << golden->what();
    EXPECT_EQ(twice->user, response->user);
    EXPECT_EQ(twice->auth, response->auth);
    EXPECT_EQ(twice->database, response->database);
    EXPECT_EQ(twice->plugin, response->plugin);
    EXPECT_EQ(twice->attributes, response->attributes);
    if (golden->is_login()) {
      EXPECT_EQ(again, text(packet.payload()));
    }
    for (std::size_t cut = 0; cut < packet.payload().size(); ++cut) {
      const auto part = parse_handshake_response(packet.payload().first(cut));
      if (!part) continue;
      EXPECT_TRUE(part->user == response->user && part->auth == response->auth) << golden->what() << ' ' << cut;
    }
  }
  EXPECT_GE(seen, 10U);
}

TEST(Messages, AHandshakeResponseWithFalsifiedLengths) {
  HandshakeResponse response;
  response.capabilities = always | capability::long_password | capability::connect_attributes;
  response.user = "ann";
  response.auth = "12345678901234567890";
  response.plugin = "mysql_native_password";
  response.attributes = {{"a", "b"}};
  std::string payload;
  put_handshake_response(payload, response);
  ASSERT_TRUE(parse_handshake_response(bytes_of(payload)));
  const std::size_t auth_at = 32 + 4;
  for (const char* length : {"15", "fb", "fc", "ff", "fe"}) {
    std::string wrong = payload;
    wrong[auth_at] = from_hex(length)[0];
    const auto parsed = parse_handshake_response(bytes_of(wrong));
    if (parsed) {
      EXPECT_NE(parsed->plugin, response.plugin) << length;
    }
  }
  std::string attributes = payload;
  attributes[payload.size() - 5] = '\x7f';
  EXPECT_FALSE(parse_handshake_response(bytes_of(attributes)));
  attributes = payload;
  attributes[payload.size() - 4] = '\x7f';
  EXPECT_FALSE(parse_handshake_response(bytes_of(attributes)));
  // Without the words of 4.1 nobody is understood.
  payload[1] = static_cast<char>(payload[1] & ~0x02);
  EXPECT_FALSE(parse_handshake_response(bytes_of(payload)));
}

TEST(Messages, ChangeUserOfARealClient) {
  for (const char* server : {"mariadb10", "mysql97"}) {
    const Golden golden = test::load_golden(server, "login_change_user");
    std::size_t seen = 0;
    for (const auto& packet : golden.packets) {
      if (!packet.from_client || packet.payload().empty() || packet.payload()[0] != 0x11) continue;
      ++seen;
      const auto change = parse_change_user(packet.payload(), golden.capabilities());
      ASSERT_TRUE(change);
      EXPECT_EQ(change->user, golden.facts.at("changed_to"));
      EXPECT_EQ(change->collation, 45);
      std::string again;
      put_change_user(again, *change, golden.capabilities());
      EXPECT_EQ(again, text(packet.payload()));
      for (std::size_t cut = 0; cut < packet.payload().size(); ++cut) {
        const auto part = parse_change_user(packet.payload().first(cut), golden.capabilities());
        if (part) {
          EXPECT_EQ(part->user, change->user);
        }
      }
    }
    EXPECT_EQ(seen, 2U);
  }
}

TEST(Messages, AuthSwitch) {
  const std::string payload = from_hex("fe6d7973716c5f6e61746976655f70617373776f72640041424300");
  const auto change = parse_auth_switch(bytes_of(payload));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->plugin, "mysql_native_password");
  EXPECT_EQ(change->data, std::string_view("ABC\0", 4));
  std::string again;
  put_auth_switch(again, *change);
  EXPECT_EQ(again, payload);
  EXPECT_FALSE(parse_auth_switch(bytes_of("\xfe"))) << "asks for a password of before 4.1";
  EXPECT_FALSE(
      parse_auth_switch(bytes_of("\xfe"
                                 "abc")));
}

TEST(Messages, OksAreWrittenAgainAsTheyWere) {
  std::size_t seen = 0;
  std::size_t with_changes = 0;
  for (const Golden& golden : all_golden()) {
    if (!golden.is_conversation()) continue;
    for (const auto& packet : golden.packets) {
      if (packet.from_client || packet.payload().empty() || packet.payload()[0] != ok_byte || packet.raw.size() < 11)
        continue;
      const auto ok = parse_ok(packet.payload(), golden.capabilities());
      if (!ok || (ok->status & status::autocommit) == 0) continue;  // rows begin so, too, and prepared statements
      std::string again;
      put_ok(again, *ok, golden.capabilities());
      if (again != text(packet.payload())) continue;
      ++seen;
      if (!ok->changes.empty()) ++with_changes;
      for (std::size_t cut = 0; cut < packet.payload().size(); ++cut) {
        const auto part = parse_ok(packet.payload().first(cut), golden.capabilities());
        if (part) {
          EXPECT_TRUE(part->info.empty() || part->changes.empty()) << cut;
        }
      }
    }
  }
  EXPECT_GE(seen, 100U);
  EXPECT_GE(with_changes, 40U);
}

TEST(Messages, AnOkLosesItsChangesWhereNobodyWantsThem) {
  std::string changes;
  put_session_change(changes, {SessionChange::Kind::schema, {}, "shop"});
  const Ok ok{3, 300, status::autocommit | status::session_state_changed, 1, "Rows matched: 3", changes, false};
  std::string with;
  put_ok(with, ok, capability::session_track);
  const auto back = parse_ok(bytes_of(with), capability::session_track);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->changes, changes);
  EXPECT_EQ(back->last_insert_id, 300U);
  std::string without;
  put_ok(without, ok, 0);
  const auto plain = parse_ok(bytes_of(without), 0);
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->info, "Rows matched: 3");
  EXPECT_EQ(plain->status, status::autocommit);
  EXPECT_EQ(plain->changes, "");
}

TEST(Messages, ErrorsOfRealServersCutAtEveryByte) {
  std::size_t seen = 0;
  for (const Golden& golden : all_golden()) {
    for (const auto& packet : golden.packets) {
      if (packet.from_client || packet.payload().empty() || packet.payload()[0] != error_byte) continue;
      const Error whole = parse_error(packet.payload());
      if (whole.number == progress_number) continue;
      ++seen;
      EXPECT_NE(whole.number, 0) << golden.what();
      EXPECT_EQ(whole.sqlstate.size(), 5U) << golden.what();
      EXPECT_FALSE(whole.message.empty());
      std::string again;
      put_error(again, whole);
      EXPECT_EQ(again, text(packet.payload()));
      for (std::size_t cut = 0; cut < packet.payload().size(); ++cut) {
        const Error part = parse_error(packet.payload().first(cut));
        EXPECT_TRUE(part.number == 0 || part.number == whole.number);
        EXPECT_TRUE(part.sqlstate.empty() || part.sqlstate == whole.sqlstate);
      }
    }
  }
  EXPECT_GE(seen, 30U);
}

std::vector<std::string> told_by(std::string_view changes) {
  constexpr const char* names[] = {"variable", "schema", "state", "gtids", "characteristics", "transaction"};
  std::vector<std::string> told;
  SessionChanges list(bytes_of(changes));
  while (const auto change = list.next()) {
    const std::string kind = names[static_cast<std::size_t>(change->kind)];
    told.push_back(kind + " " + std::string(change->name) + "=" + std::string(change->value));
  }
  EXPECT_FALSE(list.is_malformed());
  return told;
}

// Everything that was told in the recording, in its order.
std::vector<std::string> told_in(const char* server) {
  const Golden golden = test::load_golden(server, "trackers");
  std::vector<std::string> told;
  for (const auto& packet : golden.packets) {
    if (packet.from_client || (packet.payload()[0] != ok_byte && packet.payload()[0] != end_byte)) continue;
    const auto ok = parse_ok(packet.payload(), golden.capabilities());
    if (!ok) continue;
    for (std::string& one : told_by(ok->changes)) told.push_back(std::move(one));
    SessionChanges whole(bytes_of(ok->changes));
    for (std::size_t cut = 0; cut < ok->changes.size(); ++cut) {
      SessionChanges part(bytes_of(ok->changes).first(cut));
      while (part.next()) {
      }
    }
  }
  return told;
}

std::size_t count_of(const std::vector<std::string>& told, std::string_view beginning) {
  return static_cast<std::size_t>(std::count_if(
      told.begin(), told.end(), [beginning](const std::string& one) { return one.starts_with(beginning); }));
}

TEST(Messages, RealServersTellWhatChanged) {
  for (const char* server : {"mariadb10", "mysql97"}) {
    const std::vector<std::string> told = told_in(server);
    EXPECT_GE(count_of(told, "schema =other"), 1U) << server;
    EXPECT_GE(count_of(told, "schema =shop"), 1U) << server;
    EXPECT_GE(count_of(told, "variable sql_mode=REAL_AS_FLOAT"), 1U) << server;
    EXPECT_GE(count_of(told, "variable time_zone=+01:00"), 1U) << server;
    EXPECT_GE(count_of(told, "state =1"), 1U) << server;
    EXPECT_GE(count_of(told, "characteristics =SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START"), 1U) << server;
    EXPECT_GE(count_of(told, "transaction =T"), 1U) << server;
    EXPECT_GE(count_of(told, "transaction =________"), 1U) << server;
    for (const std::string& one : told) {
      if (!one.starts_with("transaction =")) continue;
      EXPECT_TRUE(parse_transaction_state(std::string_view(one).substr(13))) << one;
    }
  }
  EXPECT_GE(count_of(told_in("mariadb10"), "variable last_gtid=0-7-"), 1U);
  EXPECT_GE(count_of(told_in("mysql97"), "gtids ="), 1U);
}

TEST(Messages, DamagedChangesAreNoticed) {
  for (const char* hex :
       {"00", "0005", "000401610262", "0102", "01", "010205", "03", "0300", "03020005", "0100", "0203"}) {
    const std::string block = from_hex(hex);
    SessionChanges list(bytes_of(block));
    while (list.next()) {
    }
    EXPECT_TRUE(list.is_malformed()) << hex;
  }
  const std::string unknown = from_hex(
      "09020101"
      "01050473686f70");
  EXPECT_EQ(told_by(unknown), std::vector<std::string>{"schema =shop"}) << "what is not known is skipped";
}

TEST(Messages, TransactionStates) {
  const auto state = parse_transaction_state("T_R_W_S_");
  ASSERT_TRUE(state);
  EXPECT_TRUE(state->is_explicit && state->is_open() && state->has_read && state->has_written &&
              state->has_sent_result);
  EXPECT_FALSE(state->is_implicit || state->has_read_unsafe || state->has_locked_tables);
  EXPECT_TRUE(parse_transaction_state("I_______")->is_open());
  EXPECT_TRUE(parse_transaction_state("_______L")->has_locked_tables);
  EXPECT_FALSE(parse_transaction_state("________")->is_open());
  for (const char* wrong : {"", "T", "T_______ ", "X_______", "________T", "L_______"})
    EXPECT_FALSE(parse_transaction_state(wrong)) << wrong;
}

TEST(Messages, QueriesWithAndWithoutAttributes) {
  const std::string plain = std::string("\3SELECT 1");
  EXPECT_EQ(parse_query(bytes_of(plain), 0)->sql, "SELECT 1");
  EXPECT_EQ(parse_query(bytes_of(plain), 0)->sql_at, 1U);
  const Golden golden = test::load_golden("mysql97", "mysql_attributes");
  std::vector<std::string> texts;
  for (const auto& packet : golden.packets) {
    if (!packet.from_client || packet.payload()[0] != 3) continue;
    const auto query = parse_query(packet.payload(), golden.capabilities());
    ASSERT_TRUE(query);
    texts.emplace_back(query->sql);
    EXPECT_EQ(query->attributes, texts.size() == 1 ? 3U : 0U);
    for (std::size_t cut = 0; cut < query->sql_at; ++cut)
      EXPECT_FALSE(parse_query(packet.payload().first(cut), golden.capabilities())) << cut;
  }
  EXPECT_EQ(texts, (std::vector<std::string>{"SELECT 1", "SELECT 2"}));
  std::string ours;
  put_query(ours, "SELECT 3", capability::query_attributes);
  EXPECT_EQ(parse_query(bytes_of(ours), capability::query_attributes)->sql, "SELECT 3");
  EXPECT_FALSE(parse_query(bytes_of(from_hex("03fcffff01")), capability::query_attributes));
  EXPECT_FALSE(parse_query(bytes_of(from_hex("0302ff")), capability::query_attributes));
  EXPECT_FALSE(parse_query(bytes_of(from_hex("03feffffffffffffffff01")), capability::query_attributes));
}

TEST(Messages, ExecutionsOfRealClientsWithAndWithoutTypes) {
  const Golden golden = test::load_golden("mariadb10", "prepared");
  std::vector<Execute> seen;
  std::vector<std::string> payloads;
  for (const auto& packet : golden.packets) {
    if (!packet.from_client || packet.payload()[0] != 0x17 || statement_of(packet.payload()) != 1) continue;
    const auto execute = parse_execute(packet.payload(), 2, golden.capabilities());
    ASSERT_TRUE(execute);
    seen.push_back(*execute);
    payloads.emplace_back(text(packet.payload()));
    for (std::size_t cut = 0; cut < execute->values_at; ++cut)
      EXPECT_FALSE(parse_execute(packet.payload().first(cut), 2, golden.capabilities()));
  }
  ASSERT_GE(seen.size(), 5U);
  EXPECT_TRUE(seen[0].has_types);
  EXPECT_EQ(seen[0].types, std::string_view("\x08\0\xfd\0", 4));
  EXPECT_FALSE(seen[1].has_types);
  const std::string again = with_types(payloads[1], seen[1], seen[0].types);
  const auto typed = parse_execute(bytes_of(again), 2, golden.capabilities());
  ASSERT_TRUE(typed);
  EXPECT_TRUE(typed->has_types);
  EXPECT_EQ(typed->types, seen[0].types);
  EXPECT_EQ(std::string_view(again).substr(typed->values_at), std::string_view(payloads[1]).substr(seen[1].values_at));
}

TEST(Messages, ExecutionsWithAttributesSayHowManyParameters) {
  const Golden golden = test::load_golden("mysql97", "mysql_attributes");
  std::vector<std::uint64_t> parameters;
  for (const auto& packet : golden.packets) {
    if (!packet.from_client || packet.payload()[0] != 0x17) continue;
    const auto execute = parse_execute(packet.payload(), 1, golden.capabilities());
    ASSERT_TRUE(execute);
    parameters.push_back(execute->parameters);
  }
  EXPECT_EQ(parameters, (std::vector<std::uint64_t>{2, 1, 1}));
}

TEST(Messages, StatementsGetOtherNumbers) {
  std::string payload;
  put_statement_command(payload, Command::statement_reset, 7);
  EXPECT_EQ(statement_of(bytes_of(payload)), 7U);
  set_statement(reinterpret_cast<std::uint8_t*>(payload.data()), 0xfedcba98);
  EXPECT_EQ(statement_of(bytes_of(payload)), 0xfedcba98U);
  EXPECT_EQ(payload, from_hex("1a98badcfe"));
  EXPECT_EQ(statement_of(bytes_of(payload).first(4)), std::nullopt);
}

TEST(Messages, SmallCommands) {
  EXPECT_EQ(parse_set_option(bytes_of(from_hex("1b0100"))), 1);
  EXPECT_EQ(parse_set_option(bytes_of(from_hex("1b01"))), std::nullopt);
  EXPECT_EQ(parse_process_kill(bytes_of(from_hex("0c05000000"))), 5U);
  EXPECT_EQ(parse_process_kill(bytes_of(from_hex("0c050000"))), std::nullopt);
  EXPECT_EQ(parse_field_list(bytes_of(std::string_view("\4item\0it", 8))), "item");
  const std::string long_data = from_hex("180700000002006162");
  EXPECT_EQ(parse_long_data(bytes_of(long_data))->parameter, 2);
  const std::string fetch = from_hex("1c0700000009000000");
  EXPECT_EQ(parse_fetch(bytes_of(fetch))->rows, 9U);
  EXPECT_FALSE(parse_fetch(bytes_of(fetch).first(8)));
  for (const int unknown : {0x00, 0x05, 0x12, 0x15, 0x1d, 0x20, 0xfe, 0xff})
    EXPECT_EQ(command_of(static_cast<std::uint8_t>(unknown)), std::nullopt) << unknown;
  EXPECT_EQ(command_of(0xfa), Command::statement_bulk_execute);
}

}  // namespace
}  // namespace turnout::protocol::mysql
