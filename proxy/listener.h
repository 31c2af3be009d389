// One listening socket. Accepts on the first worker's loop and hands each client to the worker that has the fewest.
//
// Not SO_REUSEPORT: the kernel's hash spreads 16 clients unevenly over 2 workers, and an uneven spread is latency.
#pragma once

#include <string>
#include <vector>

#include "conf/config.h"
#include "proxy/deployment.h"
#include "proxy/event_loop.h"

namespace turnout::proxy {

class Worker;

class Listener final : public Handler {
 public:
  // Throws std::runtime_error naming the address and the reason.
  Listener(const conf::Address& address, Deployment& deployment, const std::vector<std::unique_ptr<Worker>>& workers);
  ~Listener() override;

  void begin();  // on the first worker's thread
  void close();  // likewise
  void on_events(std::uint32_t events) override;

 private:
  void welcome_or_refuse(int fd, std::string address);

  conf::Address address_;
  Deployment& deployment_;
  const std::vector<std::unique_ptr<Worker>>& workers_;
  std::vector<std::uint64_t> handed_;  // clients given to each worker that it may not have counted yet
  int fd_ = -1;
};

}  // namespace turnout::proxy
