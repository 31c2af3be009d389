// Replication clients: what they ask for, what they are doing, and the walk over their messages.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "protocol/pg/frame_walk.h"
#include "protocol/pg/replication.h"

namespace turnout::protocol::pg {
namespace {

TEST(Replication, the_values_a_server_takes) {
  using Kind = ReplicationKind;
  for (const std::string_view value : {"true", "TRUE", "t", "tr", "yes", "y", "on", "On", "1"})
    EXPECT_EQ(parse_replication(value), Kind::physical) << value;
  for (const std::string_view value : {"false", "f", "no", "N", "of", "off", "0"})
    EXPECT_EQ(parse_replication(value), Kind::none) << value;
  EXPECT_EQ(parse_replication("database"), Kind::logical);
  for (const std::string_view value : {"", "o", "2", "Database", "databases", "truely", "10", "-1"})
    EXPECT_EQ(parse_replication(value), std::nullopt) << value;
}

TEST(Replication, a_command_may_write_and_a_stream_does_not) {
  WalsenderWatch watch;
  EXPECT_FALSE(watch.may_write());
  watch.client_said('Q');
  EXPECT_TRUE(watch.may_write());
  watch.server_said('T', 0);
  watch.server_said('C', 'I');
  EXPECT_TRUE(watch.may_write());
  watch.server_said('Z', 'I');
  EXPECT_FALSE(watch.may_write());
  watch.client_said('Q');  // BEGIN
  watch.server_said('Z', 'T');
  EXPECT_TRUE(watch.may_write());
  watch.client_said('Q');
  watch.client_said('Q');  // pipelined
  watch.server_said('Z', 'I');
  EXPECT_TRUE(watch.may_write());
  watch.server_said('Z', 'I');
  EXPECT_FALSE(watch.may_write());
  watch.client_said('Q');  // START_REPLICATION
  EXPECT_TRUE(watch.may_write());
  watch.server_said('W', 0);
  EXPECT_TRUE(watch.is_streaming());
  EXPECT_FALSE(watch.may_write());
  watch.client_said('d');
  watch.server_said('d', 'w');
  EXPECT_FALSE(watch.may_write());
  watch.client_said('c');
  watch.server_said('c', 0);
  watch.server_said('C', 'S');
  EXPECT_TRUE(watch.may_write()) << "until it says that it is ready";
  watch.server_said('Z', 'I');
  EXPECT_FALSE(watch.may_write());
  watch.client_said('Q');
  watch.server_said('W', 0);
  watch.server_said('E', 'S');
  watch.server_said('Z', 'I');
  EXPECT_FALSE(watch.is_streaming());
  EXPECT_FALSE(watch.may_write());
  watch.server_said('Z', 'I');
  EXPECT_FALSE(watch.may_write()) << "one that nobody asked for";
}

TEST(FrameWalk, any_cut_gives_the_same_messages) {
  std::string stream;
  std::vector<std::pair<char, int>> said;
  std::mt19937 random(3);
  for (int i = 0; i < 200; ++i) {
    const char type = static_cast<char>('A' + i % 26);
    const std::string body(random() % 4 == 0 ? 0 : random() % 40, static_cast<char>('a' + i % 26));
    Writer(stream).begin(type).raw(body).end();
    said.emplace_back(type, body.empty() ? 0 : body[0]);
  }
  for (std::size_t most = 1; most < 64; ++most) {
    FrameWalk walk;
    std::vector<std::pair<char, int>> seen;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t part = std::min(stream.size() - at, 1 + random() % most);
      ASSERT_TRUE(walk.feed(bytes_of(std::string_view(stream).substr(at, part)),
                            [&](char type, std::uint8_t first) { seen.emplace_back(type, first); }));
      at += part;
    }
    ASSERT_EQ(seen, said);
    ASSERT_TRUE(walk.is_between_messages());
  }
}

TEST(FrameWalk, a_length_that_cannot_be_ends_it) {
  for (const std::string_view header : {std::string_view("d\0\0\0\3", 5), std::string_view("d\0\0\0\0", 5),
                                        std::string_view("d\xff\xff\xff\xff", 5), std::string_view("d\x40\0\0\0", 5)}) {
    FrameWalk walk;
    EXPECT_FALSE(walk.feed(bytes_of(header), [](char, std::uint8_t) { FAIL(); }));
  }
}

}  // namespace
}  // namespace turnout::protocol::pg
