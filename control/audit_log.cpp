#include "control/audit_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <fstream>
#include <stdexcept>

namespace turnout::control {

std::string utc_now() {
  const auto now = std::chrono::system_clock::now();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(now)), ms);
}

AuditLog::AuditLog(const std::filesystem::path& state_dir) : file_(state_dir / "audit.jsonl") {
  handle_ = open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (handle_ < 0) throw std::runtime_error("opening " + file_.string() + ": " + std::strerror(errno));
}

AuditLog::~AuditLog() {
  close(handle_);
}

std::string AuditLog::add(const std::string& deployment, const std::string& verb, const std::string& who,
                          boost::json::object detail) {
  boost::json::object line{{"at", utc_now()}, {"deployment", deployment}, {"verb", verb}, {"who", who}};
  for (auto& [key, value] : detail) line[key] = std::move(value);
  const std::string text = boost::json::serialize(line) + '\n';
  const std::lock_guard guard(mutex_);
  // One write: O_APPEND keeps lines whole.
  if (write(handle_, text.data(), text.size()) != static_cast<ssize_t>(text.size()) || fdatasync(handle_) != 0) {
    return "the audit log " + file_.string() + " cannot be written: " + std::strerror(errno);
  }
  return "";
}

boost::json::array AuditLog::tail(std::size_t lines) const {
  const std::lock_guard guard(mutex_);
  std::ifstream in(file_);
  std::deque<std::string> last;
  for (std::string line; std::getline(in, line);) {
    last.push_back(std::move(line));
    if (last.size() > lines) last.pop_front();
  }
  boost::json::array out;
  for (const auto& line : last) {
    boost::system::error_code error;
    auto value = boost::json::parse(line, error);
    if (!error) out.push_back(std::move(value));
  }
  return out;
}

}  // namespace turnout::control
