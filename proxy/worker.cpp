#include "proxy/worker.h"

#include <pthread.h>

#include <algorithm>

#include "proxy/greeting.h"
#include "proxy/session.h"
#include "proxy/short_slices.h"

namespace turnout::proxy {

Worker::Worker(std::size_t its_index, std::vector<std::unique_ptr<Deployment>>& deployments,
               StatementRegistry& registry, const std::vector<std::unique_ptr<Worker>>& peers)
    : index(its_index),
      statements(registry),
      peers_(peers),
      buffer_(std::make_unique<std::array<std::uint8_t, buffer_bytes>>()) {
  for (const auto& deployment : deployments) shards_.push_back(std::make_unique<Shard>(*this, *deployment));
}

Worker::~Worker() = default;

void Worker::start() {
  thread_ = std::thread([this] {
    ask_for_short_slices();
    loop.run([this] {
      std::uint32_t next_ms = 500;
      for (const auto& shard : shards_) next_ms = std::min(next_ms, shard->tick());
      return next_ms;
    });
  });
  ::pthread_setname_np(thread_.native_handle(), ("worker-" + std::to_string(index)).c_str());
}

void Worker::stop() {
  loop.stop();
  if (thread_.joinable()) thread_.join();
}

std::uint32_t Worker::next_session_number() {
  session_numbers_ = (session_numbers_ + 1) & 0x3ffffff;
  return static_cast<std::uint32_t>(index) << 26 | session_numbers_;
}

}  // namespace turnout::proxy
