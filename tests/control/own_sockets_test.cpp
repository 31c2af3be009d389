#include "control/own_sockets.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace turnout::control {
namespace {

sockaddr_in end_of(int handle) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  EXPECT_EQ(::getsockname(handle, reinterpret_cast<sockaddr*>(&address), &size), 0);
  return address;
}

struct Listener {
  Listener() : handle(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(handle, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(handle, 8), 0);
    port = ntohs(end_of(handle).sin_port);
  }
  ~Listener() { ::close(handle); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int handle;
  std::uint16_t port = 0;
};

struct OwnSocketsTest : testing::Test {
  OwnSocketsTest() : client(::socket(AF_INET, SOCK_STREAM, 0)) {
    const auto place = end_of(blue.handle);
    EXPECT_EQ(::connect(client, reinterpret_cast<const sockaddr*>(&place), sizeof place), 0);
    local_port = ntohs(end_of(client).sin_port);
  }
  ~OwnSocketsTest() override { ::close(client); }

  Listener blue, green;
  int client;
  int local_port = 0;
};

TEST_F(OwnSocketsTest, AConnectionIsOursWhereItLeads) {
  EXPECT_TRUE(OwnSockets::look({{"127.0.0.1", blue.port, {}}}).contains("127.0.0.1", local_port));
  EXPECT_TRUE(OwnSockets::look({{"127.0.0.9", 1, {}}, {"127.0.0.1", blue.port, {}}}).contains("127.0.0.1", local_port));
}

TEST_F(OwnSocketsTest, AndNowhereElse) {
  const auto found = OwnSockets::look({{"127.0.0.1", green.port, {}}});
  EXPECT_FALSE(found.contains("127.0.0.1", local_port));
  EXPECT_EQ(found.size(), 0u);
}

TEST_F(OwnSocketsTest, NothingIsFoundOfWhatIsNoNumber) {
  EXPECT_EQ(OwnSockets::look({}).size(), 0u);
  EXPECT_EQ(OwnSockets::look({{"localhost", blue.port, {}}, {"", 0, "/run/postgresql"}}).size(), 0u);
}

}  // namespace
}  // namespace turnout::control
