// One question about one host name, by c-ares: addresses of both families, in the order of RFC 6724, and the TTL.
//
// Owns its channel, so its end is the end of every try and socket of it. Driven from outside: poll what
// poll_entries() names for at most wait_ms(), then call proceed(). Not thread-safe.
#pragma once

#include <poll.h>

#include <cstdint>
#include <string>
#include <vector>

#include "proxy/names.h"

struct ares_channeldata;
struct ares_addrinfo;

namespace turnout::proxy {

class DnsQuestion {
 public:
  DnsQuestion(const std::string& name, const conf::Dns& limits, std::uint64_t now_ms);
  ~DnsQuestion();
  DnsQuestion(const DnsQuestion&) = delete;
  DnsQuestion& operator=(const DnsQuestion&) = delete;

  void poll_entries(std::vector<pollfd>& entries) const;
  [[nodiscard]] std::uint64_t wait_ms(std::uint64_t now_ms) const;
  void proceed(std::uint64_t now_ms);

  [[nodiscard]] bool is_done() const { return done_; }
  [[nodiscard]] const std::string& failure() const { return failure_; }  // "" = answered
  [[nodiscard]] const Hosts& hosts() const { return hosts_; }
  [[nodiscard]] std::uint32_t ttl_s() const { return ttl_s_; }

 private:
  static void on_answer(void* self, int status, int timeouts, ares_addrinfo* answer);
  void finish(std::string failure);

  ares_channeldata* channel_ = nullptr;
  const std::uint64_t deadline_ms_;
  bool done_ = false;
  std::string failure_;
  Hosts hosts_;
  std::uint32_t ttl_s_ = 0;
};

}  // namespace turnout::proxy
