// The recordings through the framer and through the ledger of owed replies.
#include <gtest/gtest.h>

#include "protocol/pg/exchange.h"
#include "protocol/pg/wire.h"
#include "tests/protocol/golden.h"

namespace turnout::protocol::pg {
namespace {

using test::Golden;
using test::GoldenMessage;

std::vector<Golden> all() {
  std::vector<Golden> goldens;
  for (const std::string& name : test::golden_names()) goldens.push_back(test::load_golden(name));
  return goldens;
}

TEST(Golden, there_are_recordings) {
  EXPECT_GE(all().size(), 20U);
}

// However the bytes arrive, the same messages come out: each direction's stream cut at every byte.
TEST(Golden, frames_are_found_at_every_cut) {
  for (const Golden& golden : all()) {
    for (const bool from_client : {true, false}) {
      std::string stream;
      std::vector<std::size_t> ends;
      for (const GoldenMessage& message : golden.messages) {
        if (message.is_startup() || message.from_client != from_client) continue;
        stream += message.raw;
        ends.push_back(stream.size());
      }
      for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
        const std::string_view arrived = std::string_view(stream).substr(0, cut);
        std::size_t at = 0;
        std::size_t whole = 0;
        for (;;) {
          Header header;
          const Framing framing = read_header(bytes_of(arrived.substr(at)), 1 << 20, header);
          ASSERT_NE(framing, Framing::malformed) << golden.name << ' ' << cut;
          if (framing == Framing::incomplete || at + header.total() > cut) break;
          at += header.total();
          ASSERT_EQ(at, ends[whole++]) << golden.name << ' ' << cut;
        }
        const auto expected = std::count_if(ends.begin(), ends.end(), [cut](std::size_t end) { return end <= cut; });
        EXPECT_EQ(whole, static_cast<std::size_t>(expected)) << golden.name << ' ' << cut;
      }
    }
  }
}

TEST(Golden, falsified_lengths_are_malformed) {
  for (const Golden& golden : all()) {
    for (const GoldenMessage& message : golden.messages) {
      if (message.is_startup()) continue;
      for (const std::uint32_t length : {0U, 1U, 2U, 3U, 70'001U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
        std::string raw = message.raw;
        for (std::size_t i = 0; i < 4; ++i) raw[1 + i] = static_cast<char>(length >> (24 - 8 * i));
        Header header;
        EXPECT_EQ(read_header(bytes_of(raw), 70'000, header), Framing::malformed) << length;
      }
    }
  }
}

TEST(Golden, startup_packets_cut_and_falsified) {
  for (const Golden& golden : all()) {
    for (const GoldenMessage& message : golden.messages) {
      if (!message.is_startup()) continue;
      const StartupPacket packet = parse_startup(bytes_of(message.raw), 10'000);
      EXPECT_EQ(packet.kind, StartupPacket::Kind::startup);
      EXPECT_EQ(packet.consumed, message.raw.size());
      EXPECT_EQ(packet.parameters.at(0).first, "user");
      for (std::size_t cut = 0; cut < message.raw.size(); ++cut) {
        EXPECT_EQ(parse_startup(bytes_of(std::string_view(message.raw).substr(0, cut)), 10'000).kind,
                  StartupPacket::Kind::incomplete);
        // The same cut, but the packet claims to be whole.
        if (cut < 8) continue;
        std::string shorter = message.raw.substr(0, cut);
        for (std::size_t i = 0; i < 4; ++i) shorter[i] = static_cast<char>(cut >> (24 - 8 * i));
        EXPECT_EQ(parse_startup(bytes_of(shorter), 10'000).kind, StartupPacket::Kind::malformed) << cut;
      }
      EXPECT_EQ(parse_startup(bytes_of(message.raw), 20).kind, StartupPacket::Kind::malformed) << "longer than allowed";
    }
  }
}

TEST(Golden, error_responses_cut_at_every_byte) {
  std::size_t seen = 0;
  for (const Golden& golden : all()) {
    for (const GoldenMessage& message : golden.messages) {
      if (message.is_startup() || message.from_client || message.type() != 'E') continue;
      ++seen;
      const ErrorFields whole = parse_error(bytes_of(message.body()));
      EXPECT_EQ(whole.sqlstate.size(), 5U);
      EXPECT_FALSE(whole.message.empty());
      EXPECT_TRUE(whole.severity == "ERROR" || whole.severity == "FATAL");
      for (std::size_t cut = 0; cut < message.body().size(); ++cut) {
        const ErrorFields part = parse_error(bytes_of(message.body().substr(0, cut)));
        EXPECT_TRUE(part.sqlstate.empty() || part.sqlstate == whole.sqlstate);
        EXPECT_TRUE(part.message.empty() || part.message == whole.message) << "half a field is no field";
      }
    }
  }
  EXPECT_GT(seen, 8U);
}

std::optional<Request> request_of(char type) {
  switch (type) {
    case 'Q':
      return Request::query;
    case 'P':
      return Request::parse;
    case 'B':
      return Request::bind;
    case 'D':
      return Request::describe;
    case 'E':
      return Request::execute;
    case 'C':
      return Request::close;
    case 'S':
      return Request::sync;
    case 'F':
      return Request::function_call;
    default:
      return std::nullopt;
  }
}

// Real conversations owe nothing at their end, and nothing in them surprises the ledger.
TEST(Golden, the_ledger_follows_real_conversations) {
  std::size_t followed = 0;
  for (const Golden& golden : all()) {
    if (golden.name.starts_with("login_")) continue;
    ++followed;
    Exchange exchange;
    for (std::size_t i = 0; i < golden.messages.size(); ++i) {
      const GoldenMessage& message = golden.messages[i];
      if (message.from_client) {
        if (const auto request = request_of(message.type())) exchange.sent(*request);
        if (message.type() == 'c' || message.type() == 'f') exchange.sent_copy_end();
        EXPECT_TRUE(message.type() == 'd' || message.type() == 'H' || !exchange.is_safe_point());
        continue;
      }
      const auto first = message.body().empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(message.body()[0]);
      const Exchange::Received received = exchange.received(message.type(), first);
      EXPECT_EQ(received.action, Exchange::Action::forward)
          << golden.name << " message " << i << ' ' << message.comment;
      EXPECT_EQ(received.ready, message.type() == 'Z');
      EXPECT_EQ(received.is_error, message.type() == 'E');
      if (received.ready) {
        EXPECT_EQ(exchange.status(), message.body()[0]);
      }
    }
    EXPECT_TRUE(exchange.is_safe_point()) << golden.name;
    EXPECT_EQ(exchange.owed(), 0U) << golden.name;
  }
  EXPECT_GE(followed, 12U);
}

// With one reply missing the ledger must not think that all is well.
TEST(Golden, a_lost_ready_for_query_is_noticed) {
  for (const std::string name : {"simple_query", "extended_query", "error_in_pipeline", "copy_out"}) {
    const Golden golden = test::load_golden(name);
    std::size_t last = golden.messages.size() - 1;
    Exchange exchange;
    for (std::size_t i = 0; i < last; ++i) {
      const GoldenMessage& message = golden.messages[i];
      if (message.from_client) {
        if (const auto request = request_of(message.type())) exchange.sent(*request);
      } else {
        const auto first = message.body().empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(message.body()[0]);
        EXPECT_EQ(exchange.received(message.type(), first).action, Exchange::Action::forward);
      }
    }
    EXPECT_FALSE(exchange.is_safe_point()) << name;
    EXPECT_EQ(exchange.owed(), 1U) << name;
  }
}

}  // namespace
}  // namespace turnout::protocol::pg
