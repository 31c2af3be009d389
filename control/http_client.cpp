#include "control/http_client.h"

#include <poll.h>

#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <charconv>
#include <chrono>
#include <utility>
#include <vector>

#include "control/exit_code.h"

namespace turnout::control {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Protocol = asio::generic::stream_protocol;
using std::chrono::milliseconds;

constexpr std::uint64_t answer_bytes_max = 64ULL * 1024 * 1024;
constexpr std::uint32_t answer_header_bytes_max = 64 * 1024;
constexpr std::size_t event_bytes_max = 4UL * 1024 * 1024;

std::vector<Protocol::endpoint> endpoints_of(asio::io_context& context, const ControlAddress& address) {
  if (!address.unix_path.empty()) return {asio::local::stream_protocol::endpoint(address.unix_path)};
  asio::ip::tcp::resolver resolver(context);
  error_code error;
  std::vector<Protocol::endpoint> endpoints;
  for (const auto& found : resolver.resolve(address.host, address.port, error))
    endpoints.emplace_back(found.endpoint());
  if (endpoints.empty()) throw Unreachable(address.text() + ": " + error.message());
  return endpoints;
}

// Asynchronous operations run to their end one at a time: that is what gives a synchronous client its deadlines.
class Connection {
 public:
  Connection(const ControlAddress& address, std::uint32_t ms_max) : address_(address), stream_(context_) {
    const auto endpoints = endpoints_of(context_, address);
    error_code error;
    for (const auto& endpoint : endpoints) {
      stream_.expires_after(milliseconds(ms_max));
      run([&](auto done) { stream_.async_connect(endpoint, done); }, error);
      if (!error) return;
    }
    throw Unreachable(address.text() + ": " + error.message() +
                      ". Is turnout running, and does control.listen say so?");
  }

  // Starts one operation, waits for it.
  template <typename Start>
  void run(const Start& start, error_code& error) {
    start([&error](const error_code& result, auto...) { error = result; });
    context_.restart();
    context_.run();
  }

  void send(const http::request<http::string_body>& request) {
    error_code error;
    run([&](auto done) { http::async_write(stream_, request, done); }, error);
    if (error) lost(error);
  }

  [[noreturn]] void lost(const error_code& error) const {
    const bool slow = error == beast::error::timeout;
    throw Unreachable(address_.text() + (slow ? ": no answer in time" : ": the connection broke: " + error.message()),
                      true);
  }

  beast::basic_stream<Protocol>& stream() { return stream_; }
  beast::flat_buffer& buffer() { return buffer_; }

 private:
  ControlAddress address_;
  asio::io_context context_{1};
  beast::basic_stream<Protocol> stream_;
  beast::flat_buffer buffer_;
};

http::request<http::string_body> request_to(const ControlAddress& address, bool change, const std::string& target,
                                            const std::string& token, const std::string& user) {
  http::request<http::string_body> request(change ? http::verb::post : http::verb::get, target, 11);
  const std::string host = address.unix_path.empty() ? address.text().substr(7) : "localhost";
  request.set(http::field::host, host);
  request.set(http::field::user_agent, "turnout");
  if (!token.empty()) request.set(http::field::authorization, "Bearer " + token);
  if (!user.empty()) request.set("X-Turnout-User", user);
  return request;
}

ClientAnswer answer_of(const http::response<http::string_body>& message) {
  ClientAnswer answer;
  answer.status = static_cast<int>(message.result_int());
  answer.exit_code = code(exit_for_status(answer.status));
  const std::string given(message["Turnout-Exit-Code"]);
  std::from_chars(given.data(), given.data() + given.size(), answer.exit_code);
  answer.body = message.body();
  return answer;
}

}  // namespace

struct EventReader::Impl {
  explicit Impl(const ControlAddress& address, std::uint32_t ms_max) : connection(address, ms_max) {}

  Connection connection;
  std::string text;
  bool open = true;
};

EventReader::EventReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EventReader::~EventReader() = default;
EventReader::EventReader(EventReader&&) noexcept = default;
EventReader& EventReader::operator=(EventReader&&) noexcept = default;

bool EventReader::is_open() const {
  return impl_->open;
}

std::optional<StreamEvent> EventReader::next(std::uint32_t wait_ms) {
  if (auto event = take_event(impl_->text)) return event;
  if (!impl_->open) return std::nullopt;
  // Waiting for readability, not for a read: a stream's own timeout would close the socket, and no news is no fault.
  std::array<char, 16 * 1024> piece{};
  auto& socket = impl_->connection.stream().socket();
  pollfd readable{socket.native_handle(), POLLIN, 0};
  if (::poll(&readable, 1, static_cast<int>(wait_ms)) <= 0) return std::nullopt;
  error_code error;
  const std::size_t size = socket.read_some(asio::buffer(piece), error);
  if (error || impl_->text.size() + size > event_bytes_max) {
    impl_->open = error == asio::error::would_block;
    return std::nullopt;
  }
  impl_->text.append(piece.data(), size);
  return take_event(impl_->text);
}

HttpClient::HttpClient(ControlAddress address, std::string token, std::string user)
    : address_(std::move(address)), token_(std::move(token)), user_(std::move(user)) {}

ClientAnswer HttpClient::get(const std::string& target, std::uint32_t ms_max) const {
  return ask(false, target, {}, ms_max);
}

ClientAnswer HttpClient::post(const std::string& target, const std::string& body, std::uint32_t ms_max) const {
  return ask(true, target, body, ms_max);
}

ClientAnswer HttpClient::ask(bool change, const std::string& target, const std::string& body,
                             std::uint32_t ms_max) const {
  Connection connection(address_, ms_max);
  auto request = request_to(address_, change, target, token_, user_);
  request.keep_alive(false);
  if (change) {
    request.set(http::field::content_type, "application/json");
    request.body() = body;
    request.prepare_payload();
  }
  connection.send(request);
  http::response_parser<http::string_body> parser;
  parser.header_limit(answer_header_bytes_max);
  parser.body_limit(answer_bytes_max);
  error_code error;
  connection.run([&](auto done) { http::async_read(connection.stream(), connection.buffer(), parser, done); }, error);
  if (error) connection.lost(error);
  return answer_of(parser.get());
}

EventReader HttpClient::events(std::optional<std::uint64_t> after, std::uint32_t ms_max) const {
  auto impl = std::make_unique<EventReader::Impl>(address_, ms_max);
  Connection& connection = impl->connection;
  std::string target = "/v1/events";
  if (after) target += "?after=" + std::to_string(*after);
  connection.send(request_to(address_, false, target, token_, user_));
  http::response_parser<http::string_body> parser;
  parser.header_limit(answer_header_bytes_max);
  error_code error;
  connection.run([&](auto done) { http::async_read_header(connection.stream(), connection.buffer(), parser, done); },
                 error);
  if (error) connection.lost(error);
  if (parser.get().result_int() != 200) {
    throw Unreachable(address_.text() + ": no event stream, status " + std::to_string(parser.get().result_int()));
  }
  // What came with the header; from here on the bytes are the events themselves (the server closes at the end).
  const auto rest = connection.buffer().data();
  impl->text.assign(static_cast<const char*>(rest.data()), rest.size());
  return EventReader(std::move(impl));
}

}  // namespace turnout::control
