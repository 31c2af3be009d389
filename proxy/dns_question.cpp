#include "proxy/dns_question.h"

#include <ares.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>

namespace turnout::proxy {

namespace {

constexpr int tries = 2;

}  // namespace

DnsQuestion::DnsQuestion(const std::string& name, const conf::Dns& limits, std::uint64_t now_ms)
    : deadline_ms_(now_ms + limits.timeout_ms) {
  ares_options options{};
  // c-ares doubles the time at the second try: both fit into ours when there is one name server.
  options.timeout = static_cast<int>(std::max<std::uint32_t>(limits.timeout_ms / 3, 30));
  options.tries = tries;
  if (const int status = ares_init_options(&channel_, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
      status != ARES_SUCCESS) {
    channel_ = nullptr;
    finish(ares_strerror(status));
    return;
  }
  if (!limits.servers.empty()) {
    std::string servers;
    for (const conf::Address& server : limits.servers) servers += (servers.empty() ? "" : ",") + server.text();
    if (const int status = ares_set_servers_ports_csv(channel_, servers.c_str()); status != ARES_SUCCESS) {
      finish("dns.servers: " + std::string(ares_strerror(status)));
      return;
    }
  }
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  ares_getaddrinfo(channel_, name.c_str(), nullptr, &hints, on_answer, this);
}

DnsQuestion::~DnsQuestion() {
  done_ = true;  // what ares_destroy still calls back with is nobody's any more
  if (channel_ != nullptr) ares_destroy(channel_);
}

void DnsQuestion::on_answer(void* self, int status, int, ares_addrinfo* answer) {
  DnsQuestion& question = *static_cast<DnsQuestion*>(self);
  if (question.done_ || status != ARES_SUCCESS || answer == nullptr) {
    if (answer != nullptr) ares_freeaddrinfo(answer);
    question.finish(status == ARES_SUCCESS ? "no answer" : ares_strerror(status));
    return;
  }
  int ttl = INT32_MAX;  // the chain is good for as long as its shortest link
  for (const ares_addrinfo_cname* cname = answer->cnames; cname != nullptr; cname = cname->next)
    ttl = std::min(ttl, cname->ttl);
  for (const ares_addrinfo_node* node = answer->nodes; node != nullptr; node = node->ai_next) {
    std::array<char, NI_MAXHOST> text{};
    if (::getnameinfo(node->ai_addr, node->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0)
      continue;
    ttl = std::min(ttl, node->ai_ttl);
    const bool is_known =
        std::find(question.hosts_.begin(), question.hosts_.end(), text.data()) != question.hosts_.end();
    if (!is_known && question.hosts_.size() < addresses_max) question.hosts_.emplace_back(text.data());
  }
  ares_freeaddrinfo(answer);
  question.ttl_s_ = static_cast<std::uint32_t>(std::max(ttl, 0));
  question.finish({});
}

void DnsQuestion::finish(std::string failure) {
  if (done_) return;
  done_ = true;
  failure_ = std::move(failure);
}

void DnsQuestion::poll_entries(std::vector<pollfd>& entries) const {
  if (done_ || channel_ == nullptr) return;
  std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets{};
  const auto bits = static_cast<unsigned>(ares_getsock(channel_, sockets.data(), ARES_GETSOCK_MAXNUM));
  for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM; ++i) {
    const bool reads = (bits >> i & 1u) != 0;
    const bool writes = (bits >> (i + ARES_GETSOCK_MAXNUM) & 1u) != 0;
    if (!reads && !writes) continue;
    entries.push_back({sockets[i], static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)), 0});
  }
}

std::uint64_t DnsQuestion::wait_ms(std::uint64_t now_ms) const {
  if (done_ || channel_ == nullptr || now_ms >= deadline_ms_) return 0;
  timeval most{};
  most.tv_sec = static_cast<time_t>((deadline_ms_ - now_ms) / 1000);
  most.tv_usec = static_cast<suseconds_t>((deadline_ms_ - now_ms) % 1000 * 1000);
  timeval buffer{};
  const timeval* const next = ares_timeout(channel_, &most, &buffer);
  return static_cast<std::uint64_t>(next->tv_sec) * 1000 + static_cast<std::uint64_t>(next->tv_usec) / 1000 + 1;
}

void DnsQuestion::proceed(std::uint64_t now_ms) {
  if (done_ || channel_ == nullptr) return;
  std::vector<pollfd> entries;
  poll_entries(entries);
  if (!entries.empty() && ::poll(entries.data(), entries.size(), 0) > 0) {
    for (const pollfd& entry : entries) {
      const bool reads = (entry.revents & (POLLIN | POLLERR | POLLHUP)) != 0;
      const bool writes = (entry.revents & POLLOUT) != 0;
      if (!done_ && (reads || writes))
        ares_process_fd(channel_, reads ? entry.fd : ARES_SOCKET_BAD, writes ? entry.fd : ARES_SOCKET_BAD);
    }
  }
  if (!done_) ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // its own time-outs
  if (!done_ && now_ms >= deadline_ms_) finish("no answer within dns.timeout");
}

}  // namespace turnout::proxy
