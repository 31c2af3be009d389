#include "control/http_server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "control/events_stream.h"

namespace turnout::control {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Protocol = asio::generic::stream_protocol;
using Acceptor = asio::basic_socket_acceptor<Protocol>;
using Stream = beast::basic_stream<Protocol>;
using std::chrono::milliseconds;

std::string header(const http::request<http::string_body>& message, std::string_view name) {
  return std::string(message[beast::string_view(name.data(), name.size())]);
}

HttpRequest request_of(const http::request<http::string_body>& message, std::optional<std::uint32_t> uid) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  request.host = header(message, "Host");
  request.origin = header(message, "Origin");
  request.authorization = header(message, "Authorization");
  request.content_type = header(message, "Content-Type");
  request.user = header(message, "X-Turnout-User");
  request.last_event_id = header(message, "Last-Event-ID");
  request.body = message.body();
  request.unix_uid = uid;
  return request;
}

http::response<http::string_body> message_of(HttpResponse& response, unsigned http_version, bool keep_alive) {
  http::response<http::string_body> message;
  message.version(http_version);
  message.result(static_cast<unsigned>(response.status));
  message.set(http::field::server, "turnout");
  message.set(http::field::content_type, response.content_type);
  message.set(http::field::cache_control, "no-store");
  message.set("X-Content-Type-Options", "nosniff");
  message.set("Turnout-Exit-Code", std::to_string(response.exit_code));
  if (!response.allow.empty()) message.set(http::field::allow, response.allow);
  if (response.status == 401) message.set(http::field::www_authenticate, "Bearer realm=\"turnout\"");
  message.keep_alive(keep_alive);
  message.body() = std::move(response.body);
  message.prepare_payload();
  return message;
}

// What the parser says, as a status; 0 = the peer is gone or was too slow: nothing to answer, nobody to read it.
int status_of(const error_code& error) {
  if (error == http::error::header_limit) return 431;
  if (error == http::error::body_limit) return 413;
  if (error == http::error::end_of_stream || error.category() != make_error_code(http::error::bad_method).category()) {
    return 0;
  }
  return 400;
}

std::optional<std::uint32_t> peer_uid(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer.uid;
}

// A socket file that nobody answers on is the rest of a killed process; one that answers belongs to a living one.
void remove_stale_socket(const std::string& path) {
  struct stat file {};
  if (lstat(path.c_str(), &file) != 0) return;
  if (!S_ISSOCK(file.st_mode)) {
    throw std::runtime_error("control.listen: " + path + " exists and is not a socket; remove it or name another path");
  }
  asio::io_context context;
  asio::local::stream_protocol::socket probe(context);
  error_code error;
  probe.connect(asio::local::stream_protocol::endpoint(path), error);
  if (!error) throw std::runtime_error("control.listen: " + path + " is in use by a running process");
  ::unlink(path.c_str());
}

Protocol::endpoint endpoint_of(asio::io_context& context, const conf::Address& address) {
  if (address.is_unix()) return asio::local::stream_protocol::endpoint(address.unix_path);
  error_code error;
  asio::ip::tcp::resolver resolver(context);
  const auto found =
      resolver.resolve(address.host, std::to_string(address.port), asio::ip::tcp::resolver::passive, error);
  if (error) throw std::runtime_error("control.listen: " + address.host + ": " + error.message());
  return found.begin()->endpoint();
}

asio::ip::tcp::endpoint tcp_endpoint(const Protocol::endpoint& endpoint) {
  asio::ip::tcp::endpoint tcp;
  tcp.resize(endpoint.size());
  std::copy_n(static_cast<const char*>(static_cast<const void*>(endpoint.data())), endpoint.size(),
              static_cast<char*>(static_cast<void*>(tcp.data())));
  return tcp;
}

bool is_loopback(const Protocol::endpoint& endpoint) {
  return endpoint.protocol().family() == AF_UNIX || tcp_endpoint(endpoint).address().is_loopback();
}

}  // namespace

struct HttpServer::Impl {
  Impl(const conf::Control& control, Backend& backend, HttpLimits limits_given)
      : limits(limits_given),
        unix_path(control.listen.unix_path),
        api(backend, AccessRules{control.token, control.listen.host}),
        events(backend),
        context(1),
        acceptor(context),
        quick(2),
        slow(2) {
    const auto endpoint = endpoint_of(context, control.listen);
    if (control.token.empty() && !is_loopback(endpoint)) {
      throw std::runtime_error("control.listen: " + control.listen.text() +
                               " is reachable from outside and there is no control.token_file; add one, or listen on "
                               "127.0.0.1 or unix:PATH");
    }
    try {
      if (!unix_path.empty()) remove_stale_socket(unix_path);
      acceptor.open(endpoint.protocol());
      if (unix_path.empty()) acceptor.set_option(Acceptor::reuse_address(true));
      acceptor.bind(endpoint);
      // Before listen: nobody can have come in under a wider mode.
      if (!unix_path.empty()) ::chmod(unix_path.c_str(), 0660);
      acceptor.listen(64);
    } catch (const boost::system::system_error& failed) {
      throw std::runtime_error("control.listen: " + control.listen.text() + ": " + failed.code().message());
    }
  }

  asio::awaitable<void> accept_all() {
    for (;;) {
      error_code error;
      auto socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (error == asio::error::operation_aborted) co_return;
      if (error) {
        // Out of descriptors: wait for some to come back rather than spin.
        asio::steady_timer pause(context, milliseconds(100));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      auto stream = std::make_shared<Stream>(std::move(socket));
      asio::co_spawn(context, serve(stream), asio::detached);
    }
  }

  asio::awaitable<void> serve(std::shared_ptr<Stream> stream) {
    const Count connection(connections);
    if (connections > limits.connections_max) {
      HttpResponse full = Api::failure(503, "Too many connections to the control API; close some or try again.");
      co_await answer(stream, full, 11, false);
      co_return;
    }
    const auto uid = unix_path.empty() ? std::nullopt : peer_uid(stream->socket().native_handle());
    beast::flat_buffer buffer;
    for (bool more = true; more;) {
      http::request_parser<http::string_body> parser;
      parser.header_limit(limits.header_bytes_max);
      parser.body_limit(limits.body_bytes_max);
      // One deadline for the whole request: a byte every now and then does not move it.
      stream->expires_after(milliseconds(limits.request_ms_max));
      error_code error;
      co_await http::async_read(*stream, buffer, parser, asio::redirect_error(asio::use_awaitable, error));
      if (error) {
        const int status = status_of(error);
        if (status == 0) co_return;
        HttpResponse failed = Api::failure(status, "Could not read the request: " + error.message() + ".");
        if (co_await answer(stream, failed, 11, false)) co_await discard_rest(stream);
        break;
      }
      const HttpRequest request = request_of(parser.get(), uid);
      HttpResponse response = co_await call(&request);
      if (response.events_after) {
        co_await stream_events(stream, *response.events_after);
        break;
      }
      more = parser.get().keep_alive();
      if (!co_await answer(stream, response, parser.get().version(), more)) break;
    }
    error_code ignored;
    stream->socket().shutdown(Stream::socket_type::shutdown_both, ignored);
  }

  // Runs on a thread of a pool, which may block; `co_spawn` brings the answer back to the session's own thread (a plain
  // post to the pool would not: completion runs on the executor of the waiting coroutine).
  static asio::awaitable<HttpResponse> handle(const Api* api, const HttpRequest* request) {
    co_return api->handle(*request);
  }

  // The request stays in the caller's frame, which waits.
  asio::awaitable<HttpResponse> call(const HttpRequest* request) {
    auto& pool = api.is_slow(*request) ? slow : quick;
    auto handled = handle(&api, request);
    co_return co_await asio::co_spawn(pool, std::move(handled), asio::use_awaitable);
  }

  // Lets a peer that was refused halfway read why: closing with unread bytes would reset the connection.
  asio::awaitable<void> discard_rest(std::shared_ptr<Stream> stream) {
    error_code error;
    stream->socket().shutdown(Stream::socket_type::shutdown_send, error);
    stream->expires_after(milliseconds(limits.request_ms_max) / 10);
    std::array<char, 4096> rest{};
    for (int reads = 0; reads < 64 && !error; ++reads) {
      co_await stream->async_read_some(asio::buffer(rest), asio::redirect_error(asio::use_awaitable, error));
    }
  }

  asio::awaitable<bool> answer(std::shared_ptr<Stream> stream, HttpResponse& response, unsigned http_version,
                               bool keep_alive) {
    auto message = message_of(response, http_version, keep_alive);
    stream->expires_after(milliseconds(limits.write_ms_max));
    error_code error;
    co_await http::async_write(*stream, message, asio::redirect_error(asio::use_awaitable, error));
    co_return !error;
  }

  asio::awaitable<bool> write(std::shared_ptr<Stream> stream, std::string text) {
    stream->expires_after(milliseconds(limits.write_ms_max));
    while (!text.empty()) {
      error_code error;
      const std::size_t sent =
          co_await stream->async_write_some(asio::buffer(text), asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return false;
      text.erase(0, sent);
    }
    co_return true;
  }

  // What waits for one reader. Filled by the events thread, or by whoever subscribes, in the order it was told; posting
  // the texts themselves would lose that order, since two threads' posts have none. Lives as long as either needs it.
  struct Reader {
    Reader(asio::io_context& context, std::size_t bytes_max_given) : wake(context), bytes_max(bytes_max_given) {}

    void add(const std::string& text) {
      const std::lock_guard lock(mutex);
      if (waiting.size() + text.size() > bytes_max) overflown = true;
      if (!overflown) waiting += text;
    }
    // Nothing = the reader was too slow, and the stream has a hole: it must end.
    [[nodiscard]] std::optional<std::string> take() {
      const std::lock_guard lock(mutex);
      if (overflown) return std::nullopt;
      return std::exchange(waiting, {});
    }

    asio::steady_timer wake;  // only touched on the context's thread
    const std::size_t bytes_max;

   private:
    std::mutex mutex;
    std::string waiting;
    bool overflown = false;
  };

  asio::awaitable<void> stream_events(std::shared_ptr<Stream> stream, std::uint64_t after) {
    const Count reading(streams);
    if (streams > limits.streams_max) {
      HttpResponse full = Api::failure(503, "Too many event streams are open; close some.");
      co_await answer(stream, full, 11, false);
      co_return;
    }
    auto reader = std::make_shared<Reader>(context, limits.stream_bytes_max);
    const EventsStream::Deliver deliver = [this, reader](const std::string& text) {
      reader->add(text);
      asio::post(context, [reader] { reader->wake.cancel(); });
    };
    // Subscribed before the header is sent: whoever has the header misses nothing from then on.
    const Subscribed subscribed(events, after, deliver);
    std::string head =
        "HTTP/1.1 200 OK\r\nServer: turnout\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n: turnout\n\n";
    bool alive = co_await write(stream, std::move(head));
    while (alive) {
      auto text = reader->take();
      if (!text) break;
      if (text->empty()) {
        // No wake is lost: it is posted to this very thread, so it comes after the wait has begun.
        error_code woken;
        reader->wake.expires_after(milliseconds(limits.keep_alive_ms));
        co_await reader->wake.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        if (!woken) reader->add(": still here\n\n");
        continue;
      }
      alive = co_await write(stream, std::move(*text));
    }
  }

  struct Count {
    explicit Count(std::uint32_t& counter) : counter_(counter) { ++counter_; }
    ~Count() { --counter_; }
    Count(const Count&) = delete;
    Count& operator=(const Count&) = delete;

   private:
    std::uint32_t& counter_;
  };

  struct Subscribed {
    Subscribed(EventsStream& stream, std::uint64_t after, const EventsStream::Deliver& deliver)
        : stream_(stream), subscription_(stream.subscribe(after, deliver)) {}
    ~Subscribed() { stream_.unsubscribe(subscription_); }
    Subscribed(const Subscribed&) = delete;
    Subscribed& operator=(const Subscribed&) = delete;

   private:
    EventsStream& stream_;
    EventsStream::Subscription subscription_;
  };

  const HttpLimits limits;
  const std::string unix_path;
  const Api api;
  EventsStream events;
  std::uint32_t connections = 0, streams = 0;  // only touched on `context`'s thread
  // Order matters at the end: `context` goes first and takes the sessions' frames, which count and unsubscribe.
  asio::io_context context;
  Acceptor acceptor;
  asio::thread_pool quick, slow;
  std::thread thread;
};

HttpServer::HttpServer(const conf::Control& control, Backend& backend, HttpLimits limits)
    : impl_(std::make_unique<Impl>(control, backend, limits)) {}

HttpServer::~HttpServer() {
  stop();
}

void HttpServer::start() {
  asio::co_spawn(impl_->context, impl_->accept_all(), asio::detached);
  impl_->thread = std::thread([this] { impl_->context.run(); });
}

void HttpServer::stop() {
  impl_->context.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
  impl_->quick.join();
  impl_->slow.join();
  impl_->events.stop();
  if (!impl_->unix_path.empty() && impl_->acceptor.is_open()) ::unlink(impl_->unix_path.c_str());
  error_code ignored;
  impl_->acceptor.close(ignored);
}

std::uint16_t HttpServer::port() const {
  if (!impl_->unix_path.empty()) return 0;
  return tcp_endpoint(impl_->acceptor.local_endpoint()).port();
}

}  // namespace turnout::control
