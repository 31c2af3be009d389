// Where answers end and what they say: every recorded conversation, each with a packet lost or damaged, and by hand
// what real servers do not do every day.
#include "protocol/mysql/exchange.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/protocol_mysql/replay.h"

namespace turnout::protocol::mysql {
namespace {

using test::all_golden;
using test::from_hex;
using test::Golden;
using test::GoldenPacket;
using test::Replay;
using Action = Exchange::Action;
using Kind = Exchange::Kind;
using Received = Exchange::Received;

// The commands of a recording end where the client sends the next one, and in no other place.
TEST(Exchange, FollowsRealConversations) {
  std::size_t followed = 0;
  for (const Golden& golden : all_golden()) {
    if (!golden.is_conversation()) continue;
    ++followed;
    Replay replay(golden.capabilities(), golden.status());
    bool is_refused = false;
    for (std::size_t i = 0; i < golden.packets.size(); ++i) {
      const GoldenPacket& packet = golden.packets[i];
      if (packet.from_client) {
        if (packet.header().number == 0) {
          EXPECT_TRUE(replay.exchange.is_idle()) << golden.what() << " packet " << i;
        }
        is_refused = !packet.payload().empty() && packet.header().number == 0 && !command_of(packet.payload()[0]);
        if (!is_refused) replay.from_client(packet);
        continue;
      }
      const bool was_idle = replay.exchange.is_idle();
      const Received received = replay.from_server(packet);
      ASSERT_EQ(received.action, Action::forward) << golden.what() << " packet " << i;
      EXPECT_EQ(was_idle && !is_refused, was_idle && !is_refused && received.kind == Kind::error)
          << golden.what() << ": only last words come unasked, packet " << i;
    }
    EXPECT_TRUE(replay.exchange.is_idle()) << golden.what();
  }
  EXPECT_GE(followed, 34U);
}

// Both forms of the end of rows tell the same: results, errors and the state behind each command.
std::vector<std::string> outcomes(const Golden& golden) {
  std::vector<std::string> told;
  Replay replay(golden.capabilities(), golden.status());
  for (const GoldenPacket& packet : golden.packets) {
    if (packet.from_client) {
      if (packet.header().number != 0 || command_of(packet.payload()[0])) replay.from_client(packet);
      continue;
    }
    const Received received = replay.from_server(packet);
    if (!received.ends_result) continue;
    const unsigned known = replay.exchange.is_status_known() ? replay.exchange.status() & 0x21cbU : 0xffff;
    told.push_back(std::to_string(static_cast<int>(received.entry.command)) +
                   (received.completed ? " done " : " more ") + (received.kind == Kind::error ? "error " : "") +
                   std::to_string(known) + (replay.exchange.has_statement_state() ? " state" : ""));
  }
  return told;
}

TEST(Exchange, BothFormsOfEndsTellTheSame) {
  std::size_t compared = 0;
  for (const Golden& golden : all_golden()) {
    if (!golden.name.ends_with("_eof")) continue;
    const Golden other = test::load_golden(golden.server, golden.name.substr(0, golden.name.size() - 4));
    if (golden.server == "mysql97" && golden.name == "cursors_eof") continue;  // one story is longer
    ++compared;
    EXPECT_EQ(outcomes(golden), outcomes(other)) << golden.what();
  }
  EXPECT_GE(compared, 16U);
}

// Without one packet of an answer the exchange is either surprised, or it knows that something is still owed.
TEST(Exchange, ALostPacketIsNoticed) {
  for (const Golden& golden : all_golden()) {
    if (!golden.is_conversation() || golden.name.starts_with("interrupted")) continue;
    for (std::size_t lost = 0; lost < golden.packets.size(); ++lost) {
      if (golden.packets[lost].from_client) continue;
      Replay replay(golden.capabilities(), golden.status());
      bool is_noticed = false;
      for (std::size_t i = 0; i < golden.packets.size() && !is_noticed; ++i) {
        const GoldenPacket& packet = golden.packets[i];
        if (packet.from_client) {
          const bool is_command = packet.header().number == 0 && command_of(packet.payload()[0]);
          if (i > lost && packet.header().number == 0) break;
          if (is_command || packet.header().number != 0) replay.from_client(packet);
        } else if (i != lost) {
          is_noticed = replay.from_server(packet).action == Action::protocol_error;
        }
      }
      const bool is_refusal = golden.name.starts_with("commands") && replay.exchange.is_idle();
      EXPECT_TRUE(is_noticed || !replay.exchange.is_idle() || is_refusal) << golden.what() << " packet " << lost;
    }
  }
}

// Any byte changed, any length cut: an answer or an error, never a crash; and what is owed never grows.
TEST(Exchange, DamagedPacketsAreAnErrorOrAnAnswer) {
  for (const Golden& golden : all_golden()) {
    if (!golden.is_conversation()) continue;
    for (std::size_t damaged = 0; damaged < golden.packets.size(); ++damaged) {
      if (golden.packets[damaged].from_client || golden.packets[damaged].raw.size() > 80) continue;
      Replay before(golden.capabilities(), golden.status());
      for (std::size_t i = 0; i < damaged; ++i) {
        const GoldenPacket& packet = golden.packets[i];
        if (!packet.from_client)
          static_cast<void>(before.from_server(packet));
        else if (packet.header().number != 0 || command_of(packet.payload()[0]))
          before.from_client(packet);
      }
      const Bytes payload = golden.packets[damaged].payload();
      for (std::size_t cut = 0; cut < payload.size(); ++cut) {
        Exchange exchange = before.exchange;
        const Header header{static_cast<std::uint32_t>(cut), golden.packets[damaged].header().number};
        static_cast<void>(exchange.received(header, payload.first(cut)));
        EXPECT_LE(exchange.owed(), before.exchange.owed());
      }
      for (std::size_t at = 0; at < payload.size(); ++at) {
        for (const int value : {0x00, 0xfb, 0xfc, 0xfe, 0xff}) {
          Exchange exchange = before.exchange;
          std::string changed(text(payload));
          changed[at] = static_cast<char>(value);
          static_cast<void>(exchange.received(golden.packets[damaged].header(), bytes_of(changed)));
          EXPECT_LE(exchange.owed(), before.exchange.owed());
        }
      }
      Exchange exchange = before.exchange;
      Header wrong = golden.packets[damaged].header();
      ++wrong.number;
      const bool is_error = payload[0] == error_byte;
      EXPECT_TRUE(exchange.received(wrong, payload).action == Action::protocol_error || is_error)
          << golden.what() << " packet " << damaged;
    }
  }
}

// ---- by hand -------------------------------------------------------------------------------------------------------

class Line {
 public:
  explicit Line(Capabilities capabilities = capability::deprecate_eof) { exchange.begin(capabilities, 2); }
  void send(Command command, Owner owner = Owner::client) {
    Exchange::Entry entry;
    entry.command = command;
    entry.owner = owner;
    entry.statement = 7;
    exchange.sent(entry);
    number = 1;
  }
  Received receive(std::string_view hex) {
    const std::string payload = from_hex(hex);
    return exchange.received({static_cast<std::uint32_t>(payload.size()), number++}, bytes_of(payload));
  }
  Exchange exchange;
  std::uint8_t number = 1;
};

constexpr std::string_view ok = "00000002000000";
constexpr std::string_view ok_in_transaction = "00000003000000";
constexpr std::string_view end = "fe000002000000";
constexpr std::string_view error =
    "ff1204233432303030"
    "6e6f";

TEST(Exchange, AnErrorLeavesTheStateUnknown) {
  Line line;
  line.send(Command::query);
  EXPECT_TRUE(line.receive(ok_in_transaction).completed);
  EXPECT_TRUE(line.exchange.in_transaction());
  EXPECT_FALSE(line.exchange.is_safe_point());
  line.send(Command::query);
  EXPECT_EQ(line.receive(error).kind, Kind::error);
  EXPECT_TRUE(line.exchange.is_idle());
  EXPECT_FALSE(line.exchange.is_status_known());
  EXPECT_FALSE(line.exchange.is_safe_point());
  line.send(Command::ping, Owner::ours);
  EXPECT_EQ(line.receive(ok).action, Action::swallow);
  EXPECT_TRUE(line.exchange.is_safe_point());
}

// MySQL's answer when it will not prepare a SET GLOBAL.
TEST(Exchange, APlainOkPreparesNothing) {
  Line line;
  line.send(Command::statement_prepare);
  const Received received = line.receive("00000002000000");
  EXPECT_EQ(received.action, Action::forward);
  EXPECT_EQ(received.kind, Kind::ok);
  EXPECT_TRUE(received.completed);
  EXPECT_TRUE(line.exchange.is_safe_point());
  line.send(Command::statement_prepare);
  EXPECT_EQ(line.receive("00010002000000").action, Action::protocol_error) << "neither an OK nor a statement";
}

TEST(Exchange, CommandsInAPipelineAreAnsweredInOrder) {
  Line line;
  line.send(Command::reset_connection, Owner::ours);
  line.send(Command::query, Owner::ours);
  line.send(Command::query);
  EXPECT_EQ(line.exchange.owed(), 3U);
  EXPECT_TRUE(line.exchange.is_ours_now());
  EXPECT_EQ(line.receive(ok).action, Action::swallow);
  line.number = 1;
  EXPECT_EQ(line.receive(ok).action, Action::swallow);
  EXPECT_FALSE(line.exchange.is_ours_now());
  line.number = 1;
  EXPECT_EQ(line.receive("01").kind, Kind::columns);
  EXPECT_EQ(line.receive("03646566").kind, Kind::column);
  EXPECT_EQ(line.receive("0131").kind, Kind::row);
  const Received last = line.receive(end);
  EXPECT_TRUE(last.completed && last.action == Action::forward && last.kind == Kind::end);
  EXPECT_TRUE(line.exchange.is_safe_point());
}

TEST(Exchange, FabricatedAnswersWaitForTheirTurn) {
  Line line;
  line.send(Command::query);
  line.exchange.fabricate(Command::statement_prepare, 3, 9);
  Exchange::Entry entry;
  EXPECT_FALSE(line.exchange.next_fabricated(entry));
  EXPECT_FALSE(line.exchange.is_client_only());
  EXPECT_TRUE(line.receive(ok).completed);
  ASSERT_TRUE(line.exchange.next_fabricated(entry));
  EXPECT_EQ(entry.statement, 3U);
  EXPECT_EQ(entry.ticket, 9U);
  EXPECT_TRUE(line.exchange.is_idle());
  EXPECT_TRUE(line.exchange.is_client_only());
}

TEST(Exchange, WhatNobodyAskedForIsAnError) {
  Line idle;
  EXPECT_EQ(idle.receive(ok).action, Action::protocol_error);
  Line last_words;
  EXPECT_EQ(last_words.receive(error).action, Action::forward);
  struct Case {
    Command command;
    const char* payload;
  };
  const Case cases[] = {
      {Command::ping, "01"},
      {Command::ping, "fb"},
      {Command::ping, ""},
      {Command::ping, "000000"},
      {Command::query, ""},
      {Command::query, "fe"},
      {Command::query, "fcffff"},
      {Command::query, "fd000001"},
      {Command::query, "0101"},
      {Command::statement_execute, "fb66"},
      {Command::statement_prepare, "00000000"},
      {Command::statement_prepare, "fe00000200"},
      {Command::statement_prepare, "fe000002000000"},  // an OK that ends rows is not one that refuses
      {Command::statement_fetch, "fe00"},
      {Command::change_user, "02"},
      {Command::field_list, "fe0000"},
  };
  for (const auto& [command, payload] : cases) {
    Line line;
    line.send(command);
    EXPECT_EQ(line.receive(payload).action, Action::protocol_error) << static_cast<int>(command) << ' ' << payload;
  }
  Line two;
  two.send(Command::ping);
  EXPECT_EQ(two.exchange.received({7, 2}, bytes_of(from_hex(ok))).action, Action::protocol_error) << "a wrong number";
}

TEST(Exchange, CommandsWithoutAnAnswerAreNotAwaited) {
  Line line;
  line.send(Command::statement_close);
  line.send(Command::quit);
  EXPECT_TRUE(line.exchange.is_safe_point());
  line.send(Command::statement_send_long_data);
  EXPECT_TRUE(line.exchange.is_idle());
  EXPECT_FALSE(line.exchange.is_safe_point()) << "the data lies on this server";
  line.send(Command::statement_reset);
  EXPECT_TRUE(line.receive(ok).completed);
  EXPECT_TRUE(line.exchange.is_safe_point());
}

// A row of 16 MB and more, whose first string has eight bytes of length: 0xfe is no end there.
TEST(Exchange, RowsOfManyPackets) {
  for (const Capabilities capabilities : {capability::deprecate_eof, Capabilities{0}}) {
    Line line(capabilities);
    line.send(Command::query);
    EXPECT_EQ(line.receive("01").kind, Kind::columns);
    EXPECT_EQ(line.receive("03646566").kind, Kind::column);
    if (capabilities == 0) {
      EXPECT_EQ(line.receive("fe00000200").kind, Kind::eof);
    }
    const std::string row = from_hex("fe0000000100000000");
    EXPECT_FALSE(line.exchange.wants_whole({payload_bytes_max, line.number}, 0xfe));
    EXPECT_EQ(line.exchange.received({payload_bytes_max, line.number++}, bytes_of(row)).kind, Kind::row);
    EXPECT_EQ(line.exchange.received({payload_bytes_max, line.number++}, bytes_of(row)).kind, Kind::continuation);
    EXPECT_EQ(line.receive("").kind, Kind::continuation);
    EXPECT_EQ(line.receive("0131").kind, Kind::row);
    EXPECT_TRUE(line.exchange.wants_whole({7, line.number}, 0xfe));
    EXPECT_TRUE(line.receive(capabilities == 0 ? "fe00000200" : end).completed);
    EXPECT_TRUE(line.exchange.is_safe_point());
  }
}

TEST(Exchange, NumbersWrapAndFollowLongCommands) {
  Line line;
  line.send(Command::query);
  for (int i = 0; i < 2; ++i) line.exchange.sent_more();
  line.number = 3;
  EXPECT_EQ(line.receive("01").action, Action::forward);
  EXPECT_EQ(line.receive("03646566").action, Action::forward);
  for (int i = 0; i < 600; ++i) ASSERT_EQ(line.receive("0131").kind, Kind::row) << i;
  EXPECT_TRUE(line.receive(end).completed);
  // The server may complain before it has read all of a command.
  line.send(Command::query);
  line.exchange.sent_more();
  line.number = 1;
  EXPECT_TRUE(line.receive(error).completed);
}

TEST(Exchange, RowsInOnePieceAreTakenAtOnce) {
  Line line;
  line.send(Command::query);
  std::string stream;
  static_cast<void>(line.receive("01"));
  static_cast<void>(line.receive("03646566"));
  for (int i = 0; i < 3; ++i) line.number = put_message(stream, line.number, from_hex("0131"));
  const std::size_t rows = stream.size();
  put_message(stream, line.number, from_hex(end));
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    Exchange exchange = line.exchange;
    const std::size_t taken = exchange.take_rows(bytes_of(stream).first(cut));
    EXPECT_EQ(taken, std::min(cut, rows) / 6 * 6) << cut;
    Header header;
    if (taken != rows || cut != stream.size() || !read_header(bytes_of(stream).subspan(taken), header)) continue;
    EXPECT_TRUE(exchange.received(header, bytes_of(stream).subspan(taken + header_bytes)).completed);
  }
  line.exchange.begin(capability::deprecate_eof, 2);
  EXPECT_EQ(line.exchange.take_rows(bytes_of(stream)), 0U) << "nobody asked for rows";
}

TEST(Exchange, ALocalFileIsTheClientsTurn) {
  Line line;
  line.send(Command::query);
  EXPECT_EQ(line.receive("fb66").kind, Kind::infile);
  EXPECT_TRUE(line.exchange.awaits_infile());
  EXPECT_FALSE(line.exchange.is_idle());
  Exchange impatient = line.exchange;
  EXPECT_EQ(impatient.received({7, 2}, bytes_of(from_hex(ok))).action, Action::protocol_error);
  line.exchange.infile_sent(2);
  line.number = 3;
  EXPECT_TRUE(line.receive(ok).completed);
}

TEST(Exchange, ResettingClosesCursors) {
  Line line;
  Exchange::Entry entry;
  entry.command = Command::statement_execute;
  entry.statement = 7;
  entry.opens_cursor = true;
  line.exchange.sent(entry);
  static_cast<void>(line.receive("01"));
  static_cast<void>(line.receive("03646566"));
  EXPECT_TRUE(line.receive("fe000042000000").completed);
  EXPECT_FALSE(line.exchange.is_safe_point());
  line.send(Command::reset_connection);
  EXPECT_TRUE(line.receive(ok).completed);
  EXPECT_TRUE(line.exchange.is_safe_point());
}

}  // namespace
}  // namespace turnout::protocol::mysql
