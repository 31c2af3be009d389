// Serves the Api over HTTP/1.1 on one address, TCP or unix socket.
//
// Owns its threads: one for the sockets, a few for calls (quick and slow ones apart, so that an abort never queues
// behind a preflight). Nothing a client does or fails to do holds more than one of `connections_max` for longer than
// the limits say. The socket is bound by the constructor, so that a taken port is known before anything is started.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "conf/config.h"
#include "control/api.h"

namespace turnout::control {

struct HttpLimits {
  std::uint32_t header_bytes_max = 16 * 1024;
  std::uint64_t body_bytes_max = 64 * 1024;
  std::uint32_t request_ms_max = 15'000;  // from the first byte waited for to the last of the body
  std::uint32_t write_ms_max = 15'000;    // one answer, or one piece of a stream
  std::uint32_t connections_max = 256;
  std::uint32_t streams_max = 64;
  std::size_t stream_bytes_max = 1024 * 1024;  // waiting for one slow reader; beyond it the stream is ended
  std::uint32_t keep_alive_ms = 10'000;        // a comment on a silent stream, which finds dead peers
};

class HttpServer {
 public:
  // Throws std::runtime_error when the address cannot be bound, or when it is neither loopback nor unix and there is no
  // token. `backend` must outlive the server.
  HttpServer(const conf::Control& control, Backend& backend, HttpLimits limits = {});
  ~HttpServer();  // stops
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void start();
  void stop();                               // cuts what is open; calls that have begun are waited for
  [[nodiscard]] std::uint16_t port() const;  // the one bound, of use when 0 was asked for; 0 = unix

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace turnout::control
