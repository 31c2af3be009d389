#include "proxy/statement.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "protocol/pg/sql_lexer.h"

namespace turnout::proxy {

namespace {

// Commands without a plan of their own, of which the server finds at Parse what they give or whether they can be.
bool is_found_at_parse(std::string_view sql) {
  const protocol::pg::Token first = protocol::pg::SqlLexer(sql).next();
  for (const std::string_view word : {"fetch", "execute", "show", "declare", "call", "create", "explain"})
    if (first.is_word(word)) return true;
  return false;
}

}  // namespace

StatementPtr StatementRegistry::intern(std::string_view content) {
  const std::lock_guard lock(mutex_);
  if (known_.size() >= sweep_at_) {
    std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max<std::size_t>(4096, known_.size() * 2);
  }
  if (const auto found = known_.find(content); found != known_.end())
    if (StatementPtr alive = found->second.lock(); alive && !alive->is_stale.load(std::memory_order_relaxed))
      return alive;
  auto made = std::make_shared<Statement>();
  made->number = next_++;
  made->content = content;
  made->watch = protocol::pg::watch_state(made->sql());
  made->is_found_at_parse = is_found_at_parse(made->sql());
  known_.insert_or_assign(made->content, made);
  return made;
}

const StatementPtr& StatementCache::intern(std::string_view content) {
  if (const auto found = known_.find(content); found != known_.end()) {
    if (!found->second->is_stale.load(std::memory_order_relaxed)) return found->second;
    known_.erase(found);
  }
  if (known_.size() >= entries_max) known_.clear();
  StatementPtr statement = registry_.intern(content);
  const std::string_view key = statement->content;
  return known_.emplace(key, std::move(statement)).first->second;
}

std::string server_side_name(std::uint32_t number, std::uint32_t generation) {
  std::array<char, 10> digits{};
  const auto put = [&digits](std::string& out, std::uint32_t value) {
    const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value);
    out.append(digits.data(), static_cast<std::size_t>(written.ptr - digits.data()));
  };
  std::string name(server_side_prefix);
  put(name, number);
  if (generation != 0) put(name.append(1, '_'), generation);
  return name;
}

std::uint32_t statement_number(std::string_view server_side_name) {
  if (!server_side_name.starts_with(server_side_prefix)) return 0;
  const char* const begin = server_side_name.data() + server_side_prefix.size();
  std::uint32_t number = 0;
  const auto read = std::from_chars(begin, server_side_name.data() + server_side_name.size(), number);
  return read.ec == std::errc{} ? number : 0;
}

}  // namespace turnout::proxy
