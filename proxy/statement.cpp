#include "proxy/statement.h"

#include <algorithm>

namespace turnout::proxy {

StatementPtr StatementRegistry::intern(std::string_view content) {
  const std::lock_guard lock(mutex_);
  if (known_.size() >= sweep_at_) {
    std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max<std::size_t>(4096, known_.size() * 2);
  }
  if (const auto found = known_.find(content); found != known_.end())
    if (StatementPtr alive = found->second.lock()) return alive;
  auto made = std::make_shared<Statement>();
  made->number = next_++;
  made->content = content;
  made->watch = protocol::pg::watch_state(made->sql());
  known_.insert_or_assign(made->content, made);
  return made;
}

const StatementPtr& StatementCache::intern(std::string_view content) {
  if (const auto found = known_.find(content); found != known_.end()) return found->second;
  if (known_.size() >= entries_max) known_.clear();
  StatementPtr statement = registry_.intern(content);
  const std::string_view key = statement->content;
  return known_.emplace(key, std::move(statement)).first->second;
}

std::string server_side_name(std::uint32_t number, std::uint32_t generation) {
  std::string name = std::string(server_side_prefix) + std::to_string(number);
  if (generation != 0) name += "_" + std::to_string(generation);
  return name;
}

}  // namespace turnout::proxy
