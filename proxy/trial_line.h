// A connection to a side for one login, blocking until a deadline. For threads that are no worker's.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/deployment.h"
#include "proxy/transport.h"
#include "router/routing_table.h"

namespace turnout::proxy {

class TrialLine {
 public:
  // Waits pool.connect_timeout at most, for everything together. All references outlive it.
  TrialLine(const Settings& settings, router::Side side, const conf::Address& address);

  // "" or what went wrong.
  [[nodiscard]] std::string connect();
  [[nodiscard]] std::string begin_tls();
  [[nodiscard]] std::string send(std::string_view bytes);
  // One byte, which was asked for before TLS begins; 0: none came.
  [[nodiscard]] std::uint8_t read_byte();
  // At least one more byte of the server, behind what is in there.
  [[nodiscard]] std::string read_more(std::string& input);

  [[nodiscard]] const Transport& transport() const { return transport_; }

 private:
  [[nodiscard]] bool wait(short events) const;

  const Settings& settings_;
  const router::Side side_;
  const conf::Address& address_;
  Transport transport_;
  const std::chrono::steady_clock::time_point deadline_;
};

}  // namespace turnout::proxy
