// One non-blocking socket, plain or TLS. Owns the descriptor and the TLS state; knows no message.
//
// Always true: after start_tls() nothing received before it is ever returned (the caller must have an empty buffer:
// CVE-2021-23214 class). Idle TLS connections have their record buffers released (SSL_MODE_RELEASE_BUFFERS).
#pragma once

#include <sys/epoll.h>

#include <openssl/ssl.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "conf/config.h"

namespace turnout::proxy {

enum class IoStatus { ok, would_block, closed, failed };

struct IoResult {
  IoStatus status = IoStatus::ok;
  std::size_t bytes = 0;
};

class Transport {
 public:
  Transport() = default;
  explicit Transport(int fd) : fd_(fd) {}
  ~Transport() { close(); }
  Transport(Transport&& other) noexcept;
  Transport& operator=(Transport&& other) noexcept;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  [[nodiscard]] bool is_tls() const { return ssl_ != nullptr; }
  void close();
  void shut_down();  // nothing more goes out, and what was read in between is followed by the end

  // TLS. handshake() is called at every readiness until ok.
  // As a client: server_name for SNI, and checked against the certificate when check_name.
  void start_tls(SSL_CTX& context, bool as_server, const std::string& server_name, bool check_name);
  [[nodiscard]] IoStatus handshake();
  [[nodiscard]] bool wants_write() const { return wants_write_; }  // of the last would_block
  // The protocol agreed on inside TLS (ALPN); empty: none.
  [[nodiscard]] std::string_view application_protocol() const;
  // RFC 5929 tls-server-end-point of the certificate that the server side showed; empty without TLS.
  [[nodiscard]] std::string channel_binding(bool we_are_server) const;

  // Who is at the other end. The common name of a certificate that was verified; nothing: none was shown.
  [[nodiscard]] std::optional<std::string> certified_name() const;
  // The operating system's user behind a unix socket.
  [[nodiscard]] std::optional<std::string> system_user() const;
  struct Peer {
    bool is_unix = false;
    std::array<std::uint8_t, 16> address{};  // IPv4 as ::ffff:a.b.c.d
  };
  [[nodiscard]] Peer peer() const;

  [[nodiscard]] IoResult read(std::span<std::uint8_t> into);
  [[nodiscard]] int peek() const;  // the first byte that waits in the socket, which stays there; -1: none
  // The events to ask epoll for. A plain socket is edge-triggered: else epoll looks at it once more after each reading,
  // to find nothing. So what a reading leaves must be asked for again: when it filled its buffer, and when EPOLLRDHUP
  // says that the end comes behind it. What TLS holds back has no edges: level-triggered.
  [[nodiscard]] std::uint32_t wanted(std::uint32_t events) const {
    if (ssl_ != nullptr) return events;
    return events | EPOLLET | ((events & EPOLLIN) != 0 ? std::uint32_t{EPOLLRDHUP} : 0U);
  }
  [[nodiscard]] bool has_pending() const { return ssl_ != nullptr && SSL_pending(ssl_.get()) > 0; }
  [[nodiscard]] IoResult write(std::string_view data);
  [[nodiscard]] const std::string& error() const { return error_; }

  // A connected, or connecting, non-blocking socket. -1 and errno on failure.
  [[nodiscard]] static int connect_to(const conf::Address& address);
  [[nodiscard]] static int socket_error(int fd);  // SO_ERROR

 private:
  struct SslDelete {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  IoStatus tls_status(int result);

  int fd_ = -1;
  std::unique_ptr<SSL, SslDelete> ssl_;
  bool wants_write_ = false;
  std::string error_;
};

// SSL_CTX of one purpose. Throws std::runtime_error naming the file that cannot be used.
struct ContextDelete {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using TlsContext = std::unique_ptr<SSL_CTX, ContextDelete>;
[[nodiscard]] TlsContext make_client_side_context(const conf::Tls& tls);  // we accept clients
[[nodiscard]] TlsContext make_server_side_context(const conf::Tls& tls);  // we connect to servers

}  // namespace turnout::proxy
