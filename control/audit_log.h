// Who asked for what, one JSON line each, durable before the effect begins. Append-only; readable by any JSON tool.
// Thread-safe. Lives in state_dir/audit.jsonl, mode 0600.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <filesystem>
#include <mutex>
#include <string>

namespace turnout::control {

class AuditLog {
 public:
  explicit AuditLog(const std::filesystem::path& state_dir);  // throws std::runtime_error when it cannot be opened
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  // "" = durable; else why not, and then the effect must not happen.
  [[nodiscard]] std::string add(const std::string& deployment, const std::string& verb, const std::string& who,
                                boost::json::object detail);
  [[nodiscard]] boost::json::array tail(std::size_t lines) const;

 private:
  std::filesystem::path file_;
  int handle_ = -1;
  mutable std::mutex mutex_;
};

// "2026-11-21T11:24:37.123Z", for people: nothing decides by it.
[[nodiscard]] std::string utc_now();

}  // namespace turnout::control
