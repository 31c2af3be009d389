#include "proxy/transport.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace turnout::proxy {

namespace {

// recv(2) and send(2) themselves. The C library's are points where a thread can be cancelled, which costs two locked
// instructions in each call of a program with threads; nobody cancels threads here.
ssize_t receive(int fd, void* into, std::size_t size) {
  return ::syscall(SYS_recvfrom, fd, into, size, 0, nullptr, nullptr);
}

ssize_t transmit(int fd, const void* data, std::size_t size) {
  return ::syscall(SYS_sendto, fd, data, size, MSG_NOSIGNAL, nullptr, 0);
}

}  // namespace

Transport::Transport(Transport&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      ssl_(std::move(other.ssl_)),
      wants_write_(other.wants_write_),
      error_(std::move(other.error_)) {}

Transport& Transport::operator=(Transport&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    ssl_ = std::move(other.ssl_);
    wants_write_ = other.wants_write_;
    error_ = std::move(other.error_);
  }
  return *this;
}

void Transport::close() {
  if (ssl_) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());  // best effort: the alert goes out if it fits
    ssl_.reset();
  }
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

void Transport::shut_down() {
  ::shutdown(fd_, SHUT_RDWR);
}

void Transport::start_tls(SSL_CTX& context, bool as_server, const std::string& server_name, bool check_name) {
  ssl_.reset(SSL_new(&context));
  if (!ssl_) return;  // handshake() fails
  SSL_set_fd(ssl_.get(), fd_);
  if (as_server) {
    SSL_set_accept_state(ssl_.get());
    return;
  }
  SSL_set_connect_state(ssl_.get());
  std::array<unsigned char, sizeof(in6_addr)> numeric{};
  const bool is_address = ::inet_pton(AF_INET, server_name.c_str(), numeric.data()) == 1 ||
                          ::inet_pton(AF_INET6, server_name.c_str(), numeric.data()) == 1;
  if (is_address && check_name) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), server_name.c_str());
  } else if (!is_address && !server_name.empty()) {
    // The macro SSL_set_tlsext_host_name is this call behind an old-style cast.
    SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(server_name.c_str()));
    if (check_name) SSL_set1_host(ssl_.get(), server_name.c_str());
  }
}

IoStatus Transport::tls_status(int result) {
  const int reason = SSL_get_error(ssl_.get(), result);
  wants_write_ = reason == SSL_ERROR_WANT_WRITE;
  if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) return IoStatus::would_block;
  if (reason == SSL_ERROR_ZERO_RETURN) return IoStatus::closed;
  std::array<char, 256> text{};
  const unsigned long code = ERR_get_error();
  if (code != 0) ERR_error_string_n(code, text.data(), text.size());
  error_ = code != 0 ? text.data() : "connection ended in the middle of TLS";
  const long verify = SSL_get_verify_result(ssl_.get());
  if (verify != X509_V_OK) error_ += std::string(": ") + X509_verify_cert_error_string(verify);
  return code == 0 ? IoStatus::closed : IoStatus::failed;
}

IoStatus Transport::handshake() {
  if (!ssl_) return IoStatus::failed;
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  return result == 1 ? IoStatus::ok : tls_status(result);
}

IoResult Transport::read(std::span<std::uint8_t> into) {
  if (ssl_) {
    ERR_clear_error();
    const int got = SSL_read(ssl_.get(), into.data(), static_cast<int>(into.size()));
    if (got > 0) return {IoStatus::ok, static_cast<std::size_t>(got)};
    return {tls_status(got), 0};
  }
  const ssize_t got = receive(fd_, into.data(), into.size());
  if (got > 0) return {IoStatus::ok, static_cast<std::size_t>(got)};
  if (got == 0) return {IoStatus::closed, 0};
  if (errno == EAGAIN || errno == EINTR) return {IoStatus::would_block, 0};
  error_ = std::strerror(errno);
  return {IoStatus::failed, 0};
}

int Transport::peek() const {
  std::uint8_t first = 0;
  return ::recv(fd_, &first, 1, MSG_PEEK) == 1 ? first : -1;
}

std::string_view Transport::application_protocol() const {
  const unsigned char* name = nullptr;
  unsigned int length = 0;
  if (ssl_) SSL_get0_alpn_selected(ssl_.get(), &name, &length);
  return {reinterpret_cast<const char*>(name), length};
}

IoResult Transport::write(std::string_view data) {
  if (data.empty()) return {};
  if (ssl_) {
    ERR_clear_error();
    std::size_t sent = 0;
    while (sent < data.size()) {
      const int put = SSL_write(ssl_.get(), data.data() + sent, static_cast<int>(data.size() - sent));
      if (put <= 0) {
        const IoStatus status = tls_status(put);
        return {status == IoStatus::would_block ? IoStatus::ok : status, sent};
      }
      sent += static_cast<std::size_t>(put);
    }
    return {IoStatus::ok, sent};
  }
  const ssize_t put = transmit(fd_, data.data(), data.size());
  if (put >= 0) return {IoStatus::ok, static_cast<std::size_t>(put)};
  if (errno == EAGAIN || errno == EINTR) return {IoStatus::ok, 0};
  error_ = std::strerror(errno);
  return {IoStatus::failed, 0};
}

std::optional<std::string> Transport::certified_name() const {
  if (!ssl_ || SSL_get_verify_result(ssl_.get()) != X509_V_OK) return std::nullopt;
  X509* const certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr) return std::nullopt;
  const X509_NAME* const subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return std::string();
  unsigned char* utf8 = nullptr;
  const int length = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (length < 0) return std::string();
  std::string name(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(length));
  OPENSSL_free(utf8);
  // "ann\0.example" must not pass for "ann" wherever a C string is compared (CVE-2009-4034).
  return name.find('\0') == std::string::npos ? name : std::string();
}

std::optional<std::string> Transport::system_user() const {
  ucred who{};
  socklen_t length = sizeof who;
  if (::getsockopt(fd_, SOL_SOCKET, SO_PEERCRED, &who, &length) != 0) return std::nullopt;
  std::array<char, 4096> memory{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(who.uid, &entry, memory.data(), memory.size(), &found) != 0 || found == nullptr) return std::nullopt;
  return std::string(entry.pw_name);
}

Transport::Peer Transport::peer() const {
  Peer peer;
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &length) != 0) return peer;
  peer.is_unix = address.ss_family == AF_UNIX;
  if (address.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    peer.address[10] = peer.address[11] = 0xff;
    std::memcpy(peer.address.data() + 12, &v4.sin_addr, 4);
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    std::memcpy(peer.address.data(), &v6.sin6_addr, peer.address.size());
  }
  return peer;
}

std::string Transport::channel_binding(bool we_are_server) const {
  if (!ssl_) return {};
  X509* certificate = we_are_server ? SSL_get_certificate(ssl_.get()) : SSL_get1_peer_certificate(ssl_.get());
  if (certificate == nullptr) return {};
  // RFC 5929 4.1: the signature's hash, MD5 and SHA-1 replaced by SHA-256.
  int digest_id = NID_undef;
  const bool known = OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &digest_id, nullptr) == 1;
  const EVP_MD* digest = known && digest_id != NID_md5 && digest_id != NID_sha1 && digest_id != NID_undef
                             ? EVP_get_digestbynid(digest_id)
                             : EVP_sha256();
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned int length = 0;
  const bool done = digest != nullptr && X509_digest(certificate, digest, hash.data(), &length) == 1;
  if (!we_are_server) X509_free(certificate);
  return done ? std::string(reinterpret_cast<const char*>(hash.data()), length) : std::string();
}

namespace {

int connect_socket(int family, const sockaddr* address, socklen_t length) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (family != AF_UNIX) {
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  if (::connect(fd, address, length) == 0 || errno == EINPROGRESS) return fd;
  const int reason = errno;
  ::close(fd);
  errno = reason;
  return -1;
}

}  // namespace

int Transport::connect_to(const conf::Address& address) {
  if (address.is_unix()) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    if (address.unix_path.size() >= sizeof where.sun_path) {
      errno = ENAMETOOLONG;
      return -1;
    }
    std::memcpy(where.sun_path, address.unix_path.c_str(), address.unix_path.size() + 1);
    return connect_socket(AF_UNIX, reinterpret_cast<const sockaddr*>(&where), sizeof where);
  }
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(address.port);
  if (::inet_pton(AF_INET, address.host.c_str(), &v4.sin_addr) == 1)
    return connect_socket(AF_INET, reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(address.port);
  if (::inet_pton(AF_INET6, address.host.c_str(), &v6.sin6_addr) == 1)
    return connect_socket(AF_INET6, reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
  errno = EINVAL;  // names are resolved before they come here
  return -1;
}

int Transport::socket_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

namespace {

TlsContext make_context(const SSL_METHOD* method) {
  TlsContext context(SSL_CTX_new(method));
  if (!context) throw std::runtime_error("OpenSSL cannot make a TLS context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  return context;
}

void use_certificate(SSL_CTX& context, const conf::Tls& tls) {
  if (SSL_CTX_use_certificate_chain_file(&context, tls.certificate_file.c_str()) != 1)
    throw std::runtime_error(tls.certificate_file + ": not a PEM certificate chain that OpenSSL can use");
  if (SSL_CTX_use_PrivateKey_file(&context, tls.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(&context) != 1)
    throw std::runtime_error(tls.key_file + ": not the private key of " + tls.certificate_file);
}

void use_authority(SSL_CTX& context, const std::string& file) {
  if (SSL_CTX_load_verify_locations(&context, file.c_str(), nullptr) != 1)
    throw std::runtime_error(file + ": not a PEM file of certificate authorities");
}

// Direct TLS (PostgreSQL 17) must agree on ALPN "postgresql"; a client that offers other protocols is refused.
int choose_alpn(SSL*, const unsigned char** out, unsigned char* length, const unsigned char* in, unsigned int in_length,
                void*) {
  static const unsigned char ours[] = "\x0apostgresql";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, length, ours, sizeof ours - 1, in, in_length) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

TlsContext make_client_side_context(const conf::Tls& tls) {
  TlsContext context = make_context(TLS_server_method());
  use_certificate(*context, tls);
  SSL_CTX_set_alpn_select_cb(context.get(), choose_alpn, nullptr);
  if (tls.mode == conf::TlsMode::verify_ca || tls.mode == conf::TlsMode::verify_full) {
    use_authority(*context, tls.ca_file);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  } else if (!tls.ca_file.empty()) {
    use_authority(*context, tls.ca_file);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  return context;
}

TlsContext make_server_side_context(const conf::Tls& tls) {
  TlsContext context = make_context(TLS_client_method());
  if (!tls.certificate_file.empty()) use_certificate(*context, tls);
  const bool verifies = tls.mode == conf::TlsMode::verify_ca || tls.mode == conf::TlsMode::verify_full;
  if (verifies) {
    use_authority(*context, tls.ca_file);
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  }
  return context;
}

}  // namespace turnout::proxy
