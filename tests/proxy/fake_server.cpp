#include "tests/proxy/fake_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>

#include "protocol/pg/wire.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

bool read_exactly(int fd, std::string& into, std::size_t bytes) {
  into.resize(bytes);
  std::size_t have = 0;
  while (have < bytes) {
    const ssize_t got = ::recv(fd, into.data() + have, bytes - have, 0);
    if (got <= 0) return false;
    have += static_cast<std::size_t>(got);
  }
  return true;
}

bool write_all(int fd, const std::string& data) {
  return ::send(fd, data.data(), data.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(data.size());
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  where.sin_port = htons(port);
  return where;
}

void put_row(std::string& out, const std::string& value, const std::string& tag) {
  pg::Writer(out).begin('T').u16(1).cstring("x").u32(0).u16(0).u32(25).u16(0xffff).u32(0xffffffff).u16(0).end();
  pg::Writer(out).begin('D').u16(1).u32(static_cast<std::uint32_t>(value.size())).raw(value).end();
  pg::put_command_complete(out, tag);
}

constexpr std::string_view proof_sql = "SHOW transaction_read_only";

void raise(std::atomic<std::uint64_t>& most, std::uint64_t now) {
  for (std::uint64_t old = most; old < now && !most.compare_exchange_weak(old, now);) {
  }
}

}  // namespace

FakeServer::FakeServer(std::string name) : name_(std::move(name)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where = loopback(0);
  socklen_t length = sizeof where;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&where), length) != 0 || ::listen(listener_, 512) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&where), &length) != 0)
    throw std::runtime_error("no loopback port for the fake server");
  port_ = ntohs(where.sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
}

FakeServer::~FakeServer() {
  stopping_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const int fd : fds_) ::shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
  for (const int fd : fds_) ::close(fd);
  ::close(listener_);
}

std::vector<std::string> FakeServer::texts() const {
  const std::lock_guard lock(mutex_);
  return texts_;
}

void FakeServer::accept_loop() {
  while (!stopping_) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const std::lock_guard lock(mutex_);
    fds_.push_back(fd);
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void FakeServer::serve(int fd) {
  std::string length;
  std::string body;
  if (!read_exactly(fd, length, 4)) return;
  if (!read_exactly(fd, body, pg::load_u32(pg::bytes_of(length).data()) - 4)) return;
  if (pg::load_u32(pg::bytes_of(body).data()) == pg::cancel_request_code) {
    ++cancels_;
    ::shutdown(fd, SHUT_RDWR);
    return;
  }
  if (knows_only_3_0 && pg::load_u32(pg::bytes_of(body).data()) != pg::protocol_3_0) {
    std::string refusal;
    pg::put_error(refusal, {"FATAL", "0A000", "unsupported frontend protocol 3.2", {}, {}});
    write_all(fd, refusal);
    ::shutdown(fd, SHUT_RDWR);
    return;
  }
  if (refuses_strangers && body.find("stranger") != std::string::npos) {
    std::string refusal;
    pg::put_error(refusal, {"FATAL", "28000", "role does not exist", {}, {}});
    write_all(fd, refusal);
    ::shutdown(fd, SHUT_RDWR);
    return;
  }
  ++connections_;
  raise(most_at_once_, ++open_);
  std::string hello;
  pg::Writer(hello).begin('R').u32(0).end();
  pg::put_parameter_status(hello, "server_version", "15.0 " + name_);
  pg::put_backend_key_data(hello, static_cast<std::uint32_t>(fd), std::string_view("\0\0\0\7", 4));
  pg::put_ready_for_query(hello, 'I');
  write_all(fd, hello);
  char status = 'I';
  std::string header;
  while (read_exactly(fd, header, 5) && header[0] != 'X') {
    if (!read_exactly(fd, body, pg::load_u32(pg::bytes_of(header).data() + 1) - 4)) break;
    if (header[0] != 'Q') continue;
    const std::string sql = body.c_str();
    ++queries_;
    {
      const std::lock_guard lock(mutex_);
      texts_.push_back(sql);
    }
    const bool is_proof = sql == proof_sql;
    if (is_proof) raise(most_proofs_, ++proofs_);
    if (delay_ms != 0) std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
    if (is_proof) --proofs_;
    std::string reply;
    if (hangs_up && sql.starts_with("SELECT")) break;
    const std::string tag = sql.substr(0, sql.find_first_of(" ;"));
    if (tag == "BEGIN") status = 'T';
    if (tag == "COMMIT" || tag == "ROLLBACK") status = 'I';
    if (is_proof) {
      put_row(reply, is_read_only ? "on" : "off", "SHOW");
    } else if (tag == "SELECT" && fails_reads) {
      pg::put_error(reply, {"ERROR", "25006", "cannot do that here", {}, {}});
    } else if (tag == "SELECT" && talks_nonsense) {
      reply.append("D\0\0\0\1", 5);
    } else if (tag == "SELECT") {
      put_row(reply, name_, "SELECT 1");
    } else {
      pg::put_command_complete(reply, tag);
    }
    pg::put_ready_for_query(reply, status);
    const bool is_last = ends_behind_answer && tag == "SELECT";
    if (is_last) pg::put_error(reply, {"FATAL", "57P01", "terminating connection", {}, {}});
    if (!write_all(fd, reply) || is_last) break;
  }
  --open_;
  ::shutdown(fd, SHUT_RDWR);
}

FakeClient::FakeClient(std::uint16_t port, const std::string& user, const std::string& application) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where = loopback(port);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&where), sizeof where) != 0) return;
  std::string parameters;
  pg::Writer writer(parameters);
  writer.u32(pg::protocol_3_0).cstring("user").cstring(user).cstring("database").cstring("app");
  if (!application.empty()) writer.cstring("application_name").cstring(application);
  writer.u8(0);
  std::string packet;
  pg::Writer(packet).u32(static_cast<std::uint32_t>(parameters.size() + 4)).raw(parameters);
  send(packet);
  char type = 0;
  std::string body;
  while (read_message(type, body)) {
    if (type == 'E') login_sqlstate_ = pg::parse_error(pg::bytes_of(body)).sqlstate;
    if (type == 'K') {
      pid_ = pg::load_u32(pg::bytes_of(body).data());
      key_ = pg::load_u32(pg::bytes_of(body).data() + 4);
    }
    logged_in_ = type == 'Z';
    if (logged_in_) return;
  }
}

FakeClient::~FakeClient() {
  ::close(fd_);
}

void FakeClient::send(const std::string& bytes) {
  write_all(fd_, bytes);
}

bool FakeClient::read_message(char& type, std::string& body) {
  std::string header;
  if (!read_exactly(fd_, header, 5)) return false;
  type = header[0];
  return read_exactly(fd_, body, pg::load_u32(pg::bytes_of(header).data() + 1) - 4);
}

FakeClient::Reply FakeClient::read_reply() {
  Reply reply;
  char type = 0;
  std::string body;
  while (read_message(type, body)) {
    if (type == 'D' && body.size() > 6) reply.row = body.substr(6);
    if (type == 'E') reply.sqlstate = pg::parse_error(pg::bytes_of(body)).sqlstate;
    if (type != 'Z') continue;
    reply.status = body[0];
    return reply;
  }
  reply.closed = true;
  return reply;
}

FakeClient::Reply FakeClient::query(const std::string& sql) {
  ask(sql);
  return read_reply();
}

void FakeClient::ask(const std::string& sql) {
  std::string message;
  pg::put_query(message, sql);
  send(message);
}

}  // namespace turnout::proxy
