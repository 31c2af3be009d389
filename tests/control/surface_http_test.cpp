// The HTTP server over real sockets: limits, bad bytes, slow and silent clients, streams, the unix socket.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "control/http_client.h"
#include "control/http_server.h"
#include "surface_fake.h"

namespace turnout::control {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Clock = std::chrono::steady_clock;

// Bytes in, bytes out, nothing in between.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto* const any = static_cast<const sockaddr*>(static_cast<const void*>(&address));
    if (::connect(socket_, any, sizeof address) != 0) ADD_FAILURE() << "cannot connect";
  }
  ~RawClient() { ::close(socket_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  void send(const std::string& text) {
    for (std::size_t sent = 0; sent < text.size();) {
      const auto size = ::send(socket_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (size <= 0) return;
      sent += static_cast<std::size_t>(size);
    }
  }
  // All until the server closes, or until `until` was seen; at most five seconds.
  std::string read(const std::string& until = "") {
    std::string text;
    pollfd readable{socket_, POLLIN, 0};
    while (::poll(&readable, 1, 5'000) == 1) {
      char piece[4096];
      const auto size = ::recv(socket_, piece, sizeof piece, 0);
      if (size <= 0) {
        closed_ = true;
        break;
      }
      text.append(piece, static_cast<std::size_t>(size));
      if (!until.empty() && text.find(until) != std::string::npos) break;
    }
    return text;
  }
  [[nodiscard]] bool was_closed() const { return closed_; }

 private:
  int socket_;
  bool closed_ = false;
};

class HttpServerTest : public testing::Test {
 protected:
  void serve(HttpLimits limits = {}, const std::string& token = "") {
    conf::Control control;
    control.listen = {"127.0.0.1", 0, ""};
    control.token = token;
    server_ = std::make_unique<HttpServer>(control, backend_, limits);
    server_->start();
  }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }
  [[nodiscard]] HttpClient client(const std::string& token = "") const {
    return {control_address("http://127.0.0.1:" + std::to_string(port())), token, "ann"};
  }

  FakeBackend backend_;
  std::unique_ptr<HttpServer> server_;
};

const std::string get_status = "GET /v1/deployments HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  serve();
  RawClient raw(port());
  raw.send(get_status + get_status);
  const std::string text = raw.read("}\n") + raw.read("}\n");
  EXPECT_THAT(text, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(text, HasSubstr("Turnout-Exit-Code: 0"));
  EXPECT_EQ(backend_.asked().size(), 2U);
  EXPECT_FALSE(raw.was_closed());
}

TEST_F(HttpServerTest, OverlongHeadersAre431) {
  serve();
  RawClient raw(port());
  raw.send("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n");
  EXPECT_THAT(raw.read(), StartsWith("HTTP/1.1 431 "));
  EXPECT_TRUE(raw.was_closed());
}

TEST_F(HttpServerTest, OverlongBodiesAre413) {
  serve();
  RawClient raw(port());
  raw.send("POST /v1/deployments/app/shift HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 70000\r\n\r\n");
  EXPECT_THAT(raw.read(), StartsWith("HTTP/1.1 413 "));
  EXPECT_TRUE(backend_.asked().empty());
}

TEST_F(HttpServerTest, AnEndlessChunkedBodyIsCutToo) {
  serve();
  RawClient raw(port());
  raw.send("POST /v1/deployments/app/shift HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 40; ++i) raw.send("1000\r\n" + std::string(4096, ' ') + "\r\n");
  EXPECT_THAT(raw.read(), StartsWith("HTTP/1.1 413 "));
}

TEST_F(HttpServerTest, WhatIsNotHttpIs400) {
  serve();
  for (const char* const bytes : {"hello\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\x01 HTTP/1.1\r\n\r\n",
                                  "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n"}) {
    RawClient raw(port());
    raw.send(bytes);
    EXPECT_THAT(raw.read(), StartsWith("HTTP/1.1 400 ")) << bytes;
    EXPECT_TRUE(raw.was_closed());
  }
  EXPECT_EQ(client().get("/livez", 5'000).status, 200);
}

TEST_F(HttpServerTest, ASlowClientLosesItsConnectionAtTheDeadline) {
  HttpLimits limits;
  limits.request_ms_max = 300;
  serve(limits);
  RawClient raw(port());
  const auto begun = Clock::now();
  // A byte every now and then does not buy more time.
  for (const char letter : std::string("GET / HTTP")) {
    raw.send(std::string(1, letter));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  static_cast<void>(raw.read());
  EXPECT_TRUE(raw.was_closed());
  EXPECT_LT(Clock::now() - begun, std::chrono::seconds(3));
}

TEST_F(HttpServerTest, MoreConnectionsThanAllowedAre503) {
  HttpLimits limits;
  limits.connections_max = 2;
  serve(limits);
  RawClient first(port()), second(port());
  first.send(get_status);
  second.send(get_status);
  static_cast<void>(first.read("}\n"));
  static_cast<void>(second.read("}\n"));
  RawClient third(port());
  EXPECT_THAT(third.read(), StartsWith("HTTP/1.1 503 "));
}

TEST_F(HttpServerTest, WrongMethodAndPath) {
  serve();
  RawClient raw(port());
  raw.send("DELETE /v1/deployments HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
  const std::string text = raw.read();
  EXPECT_THAT(text, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(text, HasSubstr("Allow: GET\r\n"));
  EXPECT_EQ(client().get("/v1/nothing", 5'000).status, 404);
}

TEST_F(HttpServerTest, TokenOverTheWire) {
  serve({}, "secret");
  EXPECT_EQ(client().get("/v1/deployments", 5'000).status, 401);
  EXPECT_EQ(client().get("/v1/deployments", 5'000).exit_code, 8);
  EXPECT_EQ(client("secret").get("/v1/deployments", 5'000).status, 200);
  EXPECT_EQ(client("secret").post("/v1/deployments/app/pause", "{}", 5'000).status, 200);
  EXPECT_EQ(backend_.asked().back(), "pause app by token/ann");
}

TEST_F(HttpServerTest, ASlowCallDoesNotKeepOthersWaiting) {
  struct Slow : FakeBackend {
    Answer prepare(const std::string&, const std::string&) override {
      std::this_thread::sleep_for(std::chrono::milliseconds(700));
      return next;
    }
  } backend;
  conf::Control control;
  control.listen = {"127.0.0.1", 0, ""};
  HttpServer server(control, backend);
  server.start();
  const HttpClient asking(control_address("http://127.0.0.1:" + std::to_string(server.port())), "", "");
  std::vector<std::thread> slow;
  for (int i = 0; i < 4; ++i) {
    slow.emplace_back([&] { static_cast<void>(asking.post("/v1/deployments/app/prepare", "", 10'000)); });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const auto begun = Clock::now();
  EXPECT_EQ(asking.post("/v1/deployments/app/abort", "", 5'000).status, 200);
  EXPECT_LT(Clock::now() - begun, std::chrono::milliseconds(500));
  for (auto& thread : slow) thread.join();
}

TEST_F(HttpServerTest, StreamsWhatIsNewAndOnRequestThePast) {
  serve();
  backend_.publish("phase", {{"phase", "drain"}});
  EventReader fresh = client().events(std::nullopt, 5'000);
  EventReader all = client().events(0, 5'000);
  backend_.publish("phase", {{"phase", "fence"}});
  const auto first = fresh.next(5'000);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->id, 2U);
  EXPECT_EQ(first->type, "phase");
  EXPECT_THAT(first->data, HasSubstr("\"fence\""));
  for (const std::uint64_t expected : {1U, 2U}) {
    std::optional<StreamEvent> event;
    for (int tries = 0; tries < 10 && !event; ++tries) event = all.next(1'000);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->id, expected);
  }
  EXPECT_FALSE(fresh.next(10));
  EXPECT_TRUE(fresh.is_open());
}

TEST_F(HttpServerTest, ASilentStreamIsKeptAliveAndAStoppedServerEndsIt) {
  HttpLimits limits;
  limits.keep_alive_ms = 50;
  serve(limits);
  RawClient raw(port());
  raw.send("GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  EXPECT_THAT(raw.read(": still here"), HasSubstr("text/event-stream"));
  server_.reset();
  static_cast<void>(raw.read());
  EXPECT_TRUE(raw.was_closed());
}

TEST_F(HttpServerTest, AReaderThatDoesNotReadIsCut) {
  HttpLimits limits;
  limits.stream_bytes_max = 64 * 1024;
  limits.write_ms_max = 500;
  serve(limits);
  EventReader lazy = client().events(std::nullopt, 5'000);
  for (int i = 0; i < 200; ++i) backend_.publish("phase", {{"text", std::string(100'000, 'x')}});
  // Enough for the socket buffers to fill, the queue to overflow and the server to give up.
  std::this_thread::sleep_for(std::chrono::milliseconds(1'500));
  while (lazy.is_open()) static_cast<void>(lazy.next(5'000));
  EXPECT_EQ(client().get("/livez", 5'000).status, 200);
}

TEST_F(HttpServerTest, ATakenPortIsAnErrorAtOnce) {
  serve();
  conf::Control control;
  control.listen = {"127.0.0.1", port(), ""};
  EXPECT_THROW(HttpServer(control, backend_), std::runtime_error);
}

TEST_F(HttpServerTest, OpenToTheWorldWithoutATokenIsRefused) {
  conf::Control control;
  control.listen = {"0.0.0.0", 0, ""};
  EXPECT_THROW(HttpServer(control, backend_), std::runtime_error);
  control.token = "secret";
  EXPECT_NO_THROW(HttpServer(control, backend_));
}

TEST(UnixServer, PeersNeedNoTokenAndAreNamedByUid) {
  FakeBackend backend;
  const auto path =
      std::filesystem::temp_directory_path() / ("turnout-surface-" + std::to_string(::getpid()) + ".sock");
  conf::Control control;
  control.listen = {"", 0, path.string()};
  control.token = "secret";
  {
    HttpServer server(control, backend);
    server.start();
    struct stat file {};
    ASSERT_EQ(::stat(path.c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777U, 0660U);
    const HttpClient client(control_address("unix:" + path.string()), "", "ann");
    EXPECT_EQ(client.post("/v1/deployments/app/resume", "", 5'000).status, 200);
    EXPECT_EQ(backend.asked().back(), "resume app by unix:" + std::to_string(::getuid()) + "/ann");
    EXPECT_THROW(HttpServer(control, backend), std::runtime_error) << "a living server's socket was taken away";
    EXPECT_EQ(client.get("/livez", 5'000).status, 200);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(UnixServer, TheSocketOfAKilledProcessIsReplaced) {
  const auto path = std::filesystem::temp_directory_path() / ("turnout-stale-" + std::to_string(::getpid()) + ".sock");
  const int left_behind = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.string().copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(left_behind, static_cast<const sockaddr*>(static_cast<const void*>(&address)), sizeof address), 0);
  ::close(left_behind);
  FakeBackend backend;
  conf::Control control;
  control.listen = {"", 0, path.string()};
  HttpServer server(control, backend);
  server.start();
  EXPECT_EQ(HttpClient(control_address("unix:" + path.string()), "", "").get("/livez", 5'000).status, 200);
}

TEST(Client, NobodyThereIsUnreachable) {
  const HttpClient client(control_address("unix:/nonexistent/turnout.sock"), "", "");
  EXPECT_THROW(static_cast<void>(client.get("/livez", 1'000)), Unreachable);
}

TEST(Client, Addresses) {
  EXPECT_EQ(control_address("http://127.0.0.1:6480/").text(), "http://127.0.0.1:6480");
  EXPECT_EQ(control_address("localhost:1").text(), "http://localhost:1");
  EXPECT_EQ(control_address("[::1]:6480").text(), "http://[::1]:6480");
  EXPECT_EQ(control_address("unix:/run/t.sock").text(), "unix:/run/t.sock");
  for (const char* const wrong :
       {"", "localhost", "http://", "http://a:0", "a:70000", "a:x", "https://a:1", "unix:", ":6480", "http://a/b:1"}) {
    EXPECT_THROW(static_cast<void>(control_address(wrong)), std::invalid_argument) << wrong;
  }
}

TEST(Client, EventsAreTakenWholeAtEveryCut) {
  const std::string stream = ": hi\n\nid: 7\nevent: phase\ndata: {\"a\":1}\n\n: still here\n\nid: 8\ndata: x\n\n";
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    std::vector<std::uint64_t> ids;
    std::string text;
    for (const std::string& part : {stream.substr(0, cut), stream.substr(cut)}) {
      text += part;
      while (auto event = take_event(text)) ids.push_back(event->id);
    }
    EXPECT_EQ(ids, (std::vector<std::uint64_t>{7, 8})) << cut;
    EXPECT_TRUE(text.empty());
  }
}

TEST(Client, PathSegments) {
  EXPECT_EQ(percent_encoded("app-1_2.3~"), "app-1_2.3~");
  EXPECT_EQ(percent_encoded("a/b ä?"), "a%2Fb%20%C3%A4%3F");
}

}  // namespace
}  // namespace turnout::control
