// Packets and fields: cut at every byte, falsified, and around the limit of 16 MB.
#include "protocol/mysql/wire.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/protocol_mysql/golden.h"

namespace turnout::protocol::mysql {
namespace {

using test::from_hex;
using test::Golden;

TEST(Wire, PacketsOfRealConversationsAreFoundAtEveryCut) {
  ASSERT_GE(test::all_golden().size(), 60U);
  for (const Golden& golden : test::all_golden()) {
    for (const bool from_client : {true, false}) {
      std::string stream;
      std::vector<std::size_t> ends;
      for (const auto& packet : golden.packets) {
        if (packet.from_client != from_client) continue;
        stream += packet.raw;
        ends.push_back(stream.size());
      }
      for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
        const Bytes arrived = bytes_of(stream).first(cut);
        std::size_t at = 0;
        std::size_t whole = 0;
        Header header;
        while (read_header(arrived.subspan(at), header) && at + header.total() <= cut) {
          at += header.total();
          ASSERT_EQ(at, ends[whole++]) << golden.what() << ' ' << cut;
        }
        const auto expected = std::count_if(ends.begin(), ends.end(), [cut](std::size_t end) { return end <= cut; });
        ASSERT_EQ(whole, static_cast<std::size_t>(expected)) << golden.what() << ' ' << cut;
      }
    }
  }
}

struct LengthCase {
  std::uint64_t value;
  std::string_view hex;
};
constexpr LengthCase lengths[] = {
    {0, "00"},
    {250, "fa"},
    {251, "fcfb00"},
    {65535, "fcffff"},
    {65536, "fd000001"},
    {0xff'ffff, "fdffffff"},
    {0x100'0000, "fe0000000100000000"},
    {~0ULL, "feffffffffffffffff"},
};

TEST(Wire, LengthsAreReadAndWrittenAtTheirBounds) {
  for (const auto& [value, hex] : lengths) {
    std::string out;
    Writer(out).length(value);
    EXPECT_EQ(out, from_hex(hex));
    Reader reader(bytes_of(out));
    EXPECT_EQ(reader.length(), value);
    EXPECT_TRUE(reader.is_empty());
    for (std::size_t cut = 0; cut < out.size(); ++cut) {
      Reader part(bytes_of(out).first(cut));
      EXPECT_EQ(part.length(), std::nullopt) << value << ' ' << cut;
    }
  }
}

TEST(Wire, WhatIsNoLengthIsNone) {
  for (const char* hex : {"", "fb", "ff", "fb01", "fc01", "fd0101", "fe01020304050607"}) {
    const std::string bytes = from_hex(hex);
    Reader reader(bytes_of(bytes));
    EXPECT_EQ(reader.length(), std::nullopt) << hex;
    EXPECT_TRUE(reader.is_empty()) << hex;
  }
}

TEST(Wire, StringsNeverReachBeyondTheirPayload) {
  for (const char* hex : {"05616263", "fcffff61", "feffffffffffffffff61", "fb", "ff00"}) {
    const std::string bytes = from_hex(hex);
    Reader reader(bytes_of(bytes));
    EXPECT_EQ(reader.counted(), std::nullopt) << hex;
    EXPECT_EQ(reader.u8(), std::nullopt) << "and nothing is read behind it: " << hex;
  }
  const std::string no_zero = "abc";
  Reader reader(bytes_of(no_zero));
  EXPECT_EQ(reader.cstring(), std::nullopt);
  const std::string counted =
      "\x03"
      "abc"
      "\x09"
      "d";
  Reader two(bytes_of(counted));
  EXPECT_EQ(two.short_counted(), "abc");
  EXPECT_EQ(two.short_counted(), std::nullopt);
}

TEST(Wire, NumbersAreLittleEndian) {
  std::string out;
  Writer(out).u8(1).u16(0x0203).u24(0x040506).u32(0x0708090a).u64(0x0b0c0d0e0f101112);
  EXPECT_EQ(out, from_hex("010302060504"
                          "0a090807"
                          "1211100f0e0d0c0b"));
  Reader reader(bytes_of(out));
  EXPECT_EQ(reader.u8(), 1);
  EXPECT_EQ(reader.u16(), 0x0203);
  EXPECT_EQ(reader.u24(), 0x040506U);
  EXPECT_EQ(reader.u32(), 0x0708090aU);
  EXPECT_EQ(reader.u64(), 0x0b0c0d0e0f101112U);
}

// A message of exactly the limit has an empty packet behind it.
TEST(Wire, LongMessagesGoOnInFurtherPackets) {
  struct Case {
    std::size_t bytes;
    std::vector<std::uint32_t> packets;
  };
  const Case cases[] = {
      {0, {0}},
      {10, {10}},
      {payload_bytes_max - 1, {payload_bytes_max - 1}},
      {payload_bytes_max, {payload_bytes_max, 0}},
      {payload_bytes_max + 1, {payload_bytes_max, 1}},
      {2 * std::size_t{payload_bytes_max}, {payload_bytes_max, payload_bytes_max, 0}},
  };
  for (const Case& one : cases) {
    std::string out;
    const std::uint8_t next = put_message(out, 254, std::string(one.bytes, 'x'));
    PacketTrack track;
    track.expect(254);
    Bytes left = bytes_of(out);
    for (std::size_t i = 0; i < one.packets.size(); ++i) {
      Header header;
      ASSERT_TRUE(read_header(left, header));
      EXPECT_EQ(header.payload, one.packets[i]);
      EXPECT_TRUE(track.take(header)) << "numbers wrap at 255";
      EXPECT_EQ(track.begins(), i == 0);
      EXPECT_EQ(track.is_inside(), i + 1 < one.packets.size());
      left = left.subspan(header.total());
    }
    EXPECT_TRUE(left.empty());
    EXPECT_EQ(track.next(), next);
  }
}

TEST(Wire, AWrongNumberIsNoticed) {
  PacketTrack track;
  track.expect(0);
  EXPECT_FALSE(track.take({5, 1}));
  EXPECT_TRUE(track.take({5, 0}));
  EXPECT_FALSE(track.take({5, 0})) << "twice";
  track.expect(0);
  EXPECT_TRUE(track.take({5, 0})) << "the next command";
}

}  // namespace
}  // namespace turnout::protocol::mysql
