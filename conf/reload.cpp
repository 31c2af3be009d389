#include "conf/reload.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace turnout::conf {
namespace {

std::string text_of(Protocol protocol) {
  return protocol == Protocol::mysql ? "mysql" : "postgres";
}

std::string text_of(const std::string& text) {
  return text;
}

std::string text_of(std::uint32_t number) {
  return std::to_string(number);
}

std::string text_of(const Address& address) {
  return address.text();
}

std::string text_of(const std::vector<Address>& addresses) {
  std::string text;
  for (const auto& address : addresses) text += (text.empty() ? "" : ", ") + address.text();
  return "[" + text + "]";
}

class Refusals {
 public:
  explicit Refusals(const std::string& file) : file_(file) {}

  template <typename Value>
  void compare(const std::string& key, const Value& before, const Value& after) {
    if (before == after) return;
    text_ += (text_.empty() ? "" : "\n") + file_ + ": " + key + ": cannot be changed from " + text_of(before) + " to " +
             text_of(after) + " by a reload; restart for that";
  }

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  const std::string& file_;
  std::string text_;
};

}  // namespace

std::string refused_by_reload(const Config& running, const Config& fresh) {
  const auto& before = running.deployments;
  const auto& after = fresh.deployments;
  if (!std::equal(before.begin(), before.end(), after.begin(), after.end(),
                  [](const Deployment& a, const Deployment& b) { return a.name == b.name; }))
    return fresh.file + ": deployments cannot be added, removed or reordered by a reload; restart for that";
  Refusals refusals(fresh.file);
  for (std::size_t i = 0; i < before.size(); ++i) {
    const std::string name = "deployments." + after[i].name;
    refusals.compare(name + ".protocol", before[i].protocol, after[i].protocol);
    refusals.compare(name + ".listen", before[i].listen, after[i].listen);
  }
  refusals.compare("control.listen", running.control.listen, fresh.control.listen);
  refusals.compare("control.state_dir", running.control.state_dir, fresh.control.state_dir);
  refusals.compare("workers", running.workers, fresh.workers);
  return refusals.text();
}

}  // namespace turnout::conf
