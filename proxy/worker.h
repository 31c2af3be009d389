// One thread with one loop: shares nothing with the other workers but the deployments' shared state.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "proxy/event_loop.h"
#include "proxy/outgoing.h"
#include "proxy/shard.h"
#include "proxy/statement.h"

namespace turnout::proxy {

class Worker {
 public:
  Worker(std::size_t index, std::vector<std::unique_ptr<Deployment>>& deployments, StatementRegistry& registry,
         const std::vector<std::unique_ptr<Worker>>& peers);
  ~Worker();

  void start();
  void stop();  // asks the thread to end and joins it

  const std::size_t index;
  EventLoop loop;
  StatementCache statements;
  Outgoing to_server;  // one reading at a time
  Outgoing to_client;
  std::vector<std::string> spare_buffers;  // empty, with room: sessions borrow them for a unit

  // The one read buffer. Valid until the next reading on this worker.
  [[nodiscard]] std::span<std::uint8_t> buffer() { return *buffer_; }
  [[nodiscard]] Shard& shard(DeploymentIndex deployment) { return *shards_[deployment]; }
  [[nodiscard]] Worker& peer(std::size_t other) const { return *peers_[other]; }
  [[nodiscard]] std::size_t peers() const { return peers_.size(); }
  [[nodiscard]] std::uint32_t next_session_number();  // unique on this process: carries the worker's index
  [[nodiscard]] std::uint64_t next_connection_id() {
    return static_cast<std::uint64_t>(index) << 48 | ++connection_ids_;
  }
  [[nodiscard]] static std::size_t worker_of(std::uint32_t session_number) { return session_number >> 26; }

 private:
  static constexpr std::size_t buffer_bytes = 64 * 1024;
  const std::vector<std::unique_ptr<Worker>>& peers_;
  std::unique_ptr<std::array<std::uint8_t, buffer_bytes>> buffer_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::uint32_t session_numbers_ = 0;
  std::uint64_t connection_ids_ = 0;
  std::thread thread_;
};

}  // namespace turnout::proxy
