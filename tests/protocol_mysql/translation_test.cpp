// Answers in the other form: what a real server says without DEPRECATE_EOF and with it is the same story twice, so one
// translated must have the shape of the other; and a second exchange on the client's side must follow the result.
#include "protocol/mysql/translation.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "protocol/mysql/session_changes.h"
#include "protocol/mysql/state_words.h"
#include "tests/protocol_mysql/replay.h"

namespace turnout::protocol::mysql {
namespace {

using test::all_golden;
using test::Golden;
using test::GoldenPacket;
using test::Replay;
using Pass = Translation::Pass;

// What a client of `client` capabilities gets for a recorded conversation.
std::vector<GoldenPacket> translated(const Golden& golden, Capabilities client, WantedChanges wanted = {}) {
  std::vector<GoldenPacket> packets;
  Replay server(golden.capabilities(), golden.status());
  Translation translation(golden.capabilities(), client, wanted);
  const auto keep = [&packets](std::string_view stream) {
    while (!stream.empty()) {
      Header header;
      if (!read_header(bytes_of(stream), header)) throw std::runtime_error("not whole packets");
      packets.push_back({false, std::string(stream.substr(0, header.total()))});
      stream.remove_prefix(header.total());
    }
  };
  for (const GoldenPacket& packet : golden.packets) {
    if (packet.from_client) {
      if (packet.header().number == 0 && !command_of(packet.payload()[0])) break;
      server.from_client(packet);
      // After a file of the client's the numbers go on; a command begins anew.
      if (packet.header().number == 0)
        translation.begin(1, server.exchange.status());
      else
        translation.begin(static_cast<std::uint8_t>(packet.header().number + 1), server.exchange.status());
      packets.push_back(packet);
      continue;
    }
    const auto received = server.from_server(packet);
    std::string out;
    if (translation.pass(received, packet.payload(), out) == Pass::as_is) {
      std::string raw = packet.raw;
      raw[3] = static_cast<char>(translation.number());
      keep(out);
      out.clear();
      packets.push_back({false, raw});
      translation.passed(out);
    }
    keep(out);
  }
  return packets;
}

// Packets by what they are: numbers of connections, times and names differ from run to run.
std::vector<std::string> shape(const std::vector<GoldenPacket>& packets, Capabilities capabilities,
                               std::uint16_t status) {
  std::vector<std::string> shape;
  Replay replay(capabilities, status);
  for (const GoldenPacket& packet : packets) {
    if (packet.from_client) {
      if (packet.header().number == 0 && !command_of(packet.payload()[0])) break;
      replay.from_client(packet);
      shape.emplace_back("command");
      continue;
    }
    const auto received = replay.from_server(packet);
    if (received.action != Exchange::Action::forward) return {"packet refused"};
    shape.push_back(std::to_string(static_cast<int>(received.kind)) + " number " +
                    std::to_string(packet.header().number) + (received.completed ? " done" : ""));
  }
  return shape;
}

TEST(Translation, EachFormBecomesTheOther) {
  std::size_t compared = 0;
  for (const Golden& old_form : all_golden()) {
    if (!old_form.name.ends_with("_eof")) continue;
    if (old_form.name == "cursors_eof" && old_form.server == "mysql97") continue;  // one story is longer
    const Golden new_form = test::load_golden(old_form.server, old_form.name.substr(0, old_form.name.size() - 4));
    ++compared;
    EXPECT_EQ(shape(translated(new_form, old_form.capabilities()), old_form.capabilities(), old_form.status()),
              shape(old_form.packets, old_form.capabilities(), old_form.status()))
        << new_form.what();
    EXPECT_EQ(shape(translated(old_form, new_form.capabilities()), new_form.capabilities(), new_form.status()),
              shape(new_form.packets, new_form.capabilities(), new_form.status()))
        << old_form.what();
  }
  EXPECT_GE(compared, 16U);
}

TEST(Translation, SidesThatSpeakAlikeChangeNothing) {
  for (const Golden& golden : all_golden()) {
    if (!golden.is_conversation() || golden.name.starts_with("commands")) continue;
    const std::vector<GoldenPacket> packets = translated(golden, golden.capabilities());
    ASSERT_EQ(packets.size(), golden.packets.size()) << golden.what();
    for (std::size_t i = 0; i < packets.size(); ++i) EXPECT_EQ(packets[i].raw, golden.packets[i].raw) << golden.what();
  }
}

TEST(Translation, ClientsWithoutTrackersHearNothingOfThem) {
  for (const Golden& golden : all_golden()) {
    if (!golden.is_conversation()) continue;
    const Capabilities client = golden.capabilities() & ~capability::session_track;
    Replay replay(client, golden.status());
    for (const GoldenPacket& packet : translated(golden, client)) {
      if (packet.from_client) {
        replay.from_client(packet);
        continue;
      }
      const auto received = replay.from_server(packet);
      ASSERT_EQ(received.action, Exchange::Action::forward) << golden.what();
      if (received.kind != Exchange::Kind::ok) continue;
      EXPECT_EQ(received.status & status::session_state_changed, 0) << golden.what();
      EXPECT_EQ(parse_ok(packet.payload(), 0)->changes, "");
    }
  }
}

std::vector<SessionChange::Kind> kinds_told(const Golden& golden, WantedChanges wanted) {
  std::vector<SessionChange::Kind> kinds;
  for (const GoldenPacket& packet : translated(golden, golden.capabilities(), wanted)) {
    if (packet.from_client || (packet.payload()[0] != ok_byte && packet.payload()[0] != end_byte)) continue;
    const auto told = parse_ok(packet.payload(), golden.capabilities());
    if (!told) continue;
    EXPECT_EQ(told->changes.empty(), (told->status & status::session_state_changed) == 0);
    SessionChanges list(bytes_of(told->changes));
    while (const auto change = list.next()) kinds.push_back(change->kind);
  }
  return kinds;
}

TEST(Translation, ClientsHearOfWhatTheyWant) {
  for (const char* server : {"mariadb10", "mysql97"}) {
    const Golden golden = test::load_golden(server, "trackers");
    WantedChanges schema_only{false, true, false, false, false, StateTold::nothing};
    const auto kinds = kinds_told(golden, schema_only);
    EXPECT_GE(kinds.size(), 2U);
    for (const auto kind : kinds) EXPECT_EQ(kind, SessionChange::Kind::schema);
    EXPECT_GT(kinds_told(golden, {}).size(), 20U);
    EXPECT_TRUE(kinds_told(golden, {false, false, false, false, false, StateTold::nothing}).empty());
  }
}

TEST(Translation, WhatAClientWantsIsWhatItsVariablesSay) {
  const auto kept_of = [](const WantedChanges& wanted) {
    using Kind = SessionChange::Kind;
    std::string changes, kept;
    for (const char* name : {"autocommit", "time_zone", "last_gtid"})
      put_session_change(changes, {Kind::system_variable, name, "x"});
    for (const Kind kind : {Kind::schema, Kind::state, Kind::transaction_characteristics, Kind::transaction_state})
      put_session_change(changes, {kind, {}, "1"});
    std::string told_state = "________";
    const std::string filtered = filter_changes(changes, wanted, told_state).kept;
    SessionChanges list(bytes_of(filtered));
    while (const auto change = list.next())
      kept += (change->name.empty() ? std::to_string(static_cast<int>(change->kind)) : std::string(change->name)) + " ";
    return kept;
  };
  WantedChanges wanted;
  set_wanted(wanted, Tracking::all, {"1", "Autocommit, time_zone", "0", "OFF"});
  EXPECT_EQ(kept_of(wanted), "autocommit time_zone 1 ");
  set_wanted(wanted, Tracking::state_change, {"0", "", "1", "STATE"});
  EXPECT_EQ(kept_of(wanted), "autocommit time_zone 1 2 ") << "the others stay";
  set_wanted(wanted, Tracking::all, {"0", "", "1", "STATE"});
  EXPECT_EQ(kept_of(wanted), "2 5 ");
  set_wanted(wanted, Tracking::all, {"0", "", "1", "OFF"});
  EXPECT_EQ(wanted.transaction_state, StateTold::nothing);
  set_wanted(wanted, Tracking::all, {"0", "", "1", "OFF", StateTold::beginning_and_end});
  EXPECT_EQ(wanted.transaction_state, StateTold::beginning_and_end) << "MySQL's servers";
  EXPECT_FALSE(wanted.transaction_characteristics);
  set_wanted(wanted, Tracking::all, {"OFF", "*", "ON", "CHARACTERISTICS"});
  EXPECT_EQ(kept_of(wanted), "autocommit time_zone last_gtid 2 4 5 ");
  EXPECT_EQ(kept_of({}), "autocommit time_zone last_gtid 1 2 4 5 ");
}

// What MySQL 9.7 tells with session_track_transaction_info OFF, of what it tells with it on.
TEST(Translation, OfAnUntrackedTransactionOnlyBeginAndItsEndAreTold) {
  WantedChanges wanted;
  set_wanted(wanted, Tracking::all, {"1", "*", "0", "OFF", StateTold::beginning_and_end});
  std::string told_state = "________";
  const auto told = [&](std::string_view state, std::string_view characteristics = "") {
    std::string changes;
    if (!state.empty()) put_session_change(changes, {SessionChange::Kind::transaction_state, {}, state});
    put_session_change(changes, {SessionChange::Kind::transaction_characteristics, {}, characteristics});
    const FilteredChanges filtered = filter_changes(changes, wanted, told_state);
    SessionChanges list(bytes_of(filtered.kept));
    const auto change = list.next();
    EXPECT_FALSE(list.next());
    return (change ? std::string(change->value) : std::string()) + (filtered.is_told_without_words ? "no words" : "");
  };
  EXPECT_EQ(told("T_______", "START TRANSACTION;"), "T_______");
  EXPECT_EQ(told("", "START TRANSACTION;"), "no words") << "BEGIN again, COMMIT AND CHAIN";
  EXPECT_EQ(told("T_R___S_"), "");
  EXPECT_EQ(told("T_______", "START TRANSACTION;"), "no words");
  EXPECT_EQ(told("________", ""), "________");
  EXPECT_EQ(told("", "SET TRANSACTION READ ONLY;"), "");
  EXPECT_EQ(told("T_______"), "T_______");
  EXPECT_EQ(told("T_R___S_"), "");
  EXPECT_EQ(told("T_R_W_S_"), "");
  EXPECT_EQ(told("________"), "________");
  EXPECT_EQ(told("I___W___"), "") << "without BEGIN";
  EXPECT_EQ(told("________"), "");
  EXPECT_EQ(told("_______L"), "");
  EXPECT_EQ(told("T_R_____", "SET TRANSACTION READ ONLY; START TRANSACTION WITH CONSISTENT SNAPSHOT;"), "T_R_____");
  EXPECT_EQ(told("T_R___S_"), "");
  EXPECT_EQ(told("T_______", "START TRANSACTION;"), "T_______") << "COMMIT AND CHAIN";
  EXPECT_EQ(told("_______L"), "________") << "LOCK TABLES has ended it";
  EXPECT_EQ(told("not one"), "");
}

TEST(Translation, WhatWasToldOfATransactionStaysWithTheSession) {
  WantedChanges wanted;
  set_wanted(wanted, Tracking::all, {"0", "*", "0", "OFF", StateTold::beginning_and_end});
  Translation translation(capability::session_track, capability::session_track, wanted);
  const auto passed = [&](std::string_view state) {
    std::string changes, payload, out;
    put_session_change(changes, {SessionChange::Kind::transaction_state, {}, state});
    Ok ok;
    ok.status = status::session_state_changed;
    ok.changes = changes;
    put_ok(payload, ok, capability::session_track);
    Exchange::Received received;
    received.kind = Exchange::Kind::ok;
    received.status = ok.status;
    translation.begin(1, 0);
    const bool as_is = translation.pass(received, bytes_of(payload), out) == Translation::Pass::as_is;
    const std::string said = as_is ? std::string("....") + payload : out;
    return std::string(parse_ok(bytes_of(said).subspan(header_bytes), capability::session_track)->changes);
  };
  EXPECT_TRUE(passed("T_______").ends_with("T_______"));
  translation.go_on(capability::session_track, capability::session_track, wanted);
  EXPECT_EQ(passed("T_R_W___"), "");
  EXPECT_TRUE(passed("________").ends_with("________"));
}

TEST(Translation, BehindTheColumnsOfACallMoreFollows) {
  for (const bool calls : {true, false}) {
    Translation translation(capability::deprecate_eof, 0);
    translation.begin(1, status::autocommit);
    Exchange::Received column;
    column.kind = Exchange::Kind::column;
    column.ended_lists = 1;
    column.entry.calls = calls;
    std::string out;
    EXPECT_EQ(translation.pass(column, {}, out), Pass::as_is);
    translation.passed(out);
    EXPECT_EQ(out, test::from_hex(calls ? "05000002fe00000a00" : "05000002fe00000200"));
  }
}

TEST(Translation, RowsPassUnreadWhereNumbersAgree) {
  Translation translation(capability::deprecate_eof, 0);
  translation.begin(1, status::autocommit);
  EXPECT_TRUE(translation.passes_rows(1));
  EXPECT_FALSE(translation.passes_rows(2));
  Exchange::Received column;
  column.kind = Exchange::Kind::column;
  column.ended_lists = 1;
  column.entry.opens_cursor = true;
  std::string out;
  EXPECT_EQ(translation.pass(column, {}, out), Pass::as_is);
  translation.passed(out);
  EXPECT_TRUE(out.empty()) << "it is not known yet whether rows follow";
  EXPECT_FALSE(translation.passes_rows(2));
  Exchange::Received row;
  row.kind = Exchange::Kind::row;
  EXPECT_EQ(translation.pass(row, {}, out), Pass::as_is);
  EXPECT_EQ(out, test::from_hex("05000002fe00000200"));
  EXPECT_EQ(translation.number(), 3);
  EXPECT_FALSE(translation.passes_rows(2));
}

}  // namespace
}  // namespace turnout::protocol::mysql
