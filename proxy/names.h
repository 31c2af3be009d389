// What is known of a host name: its last good answer, when to ask again, and which of its addresses may be used.
//
// Always true: a good answer is only ever replaced by another good one, so a name server that is gone, or says that
// there is no such name, changes nothing; an address that is new behind a name that was in use before is used only when
// it is known to be the same server. Pure: time, answers and verdicts are arguments.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "conf/config.h"

namespace turnout::proxy {

inline constexpr std::size_t addresses_max = 16;  // of one name; what else an answer holds is not looked at

// Numbers, in the order to try.
using Hosts = std::vector<std::string>;

class NameRecord {
 public:
  // An answer without an address is a failure. True: the set of addresses differs from the one before.
  bool answered(Hosts hosts, std::uint32_t ttl_s, std::uint64_t now_ms, const conf::Dns& limits);
  void failed(std::string why, std::uint64_t now_ms, const conf::Dns& limits);

  [[nodiscard]] const Hosts& hosts() const { return hosts_; }
  [[nodiscard]] const std::string& failure() const { return failure_; }  // of the latest question, "" = answered
  [[nodiscard]] std::uint64_t ask_at_ms() const { return ask_at_ms_; }
  [[nodiscard]] std::uint64_t answered_ms() const { return answered_ms_; }

 private:
  Hosts hosts_;
  std::string failure_;
  std::uint32_t failures_ = 0;  // in a row
  std::uint64_t ask_at_ms_ = 0;
  std::uint64_t answered_ms_ = 0;
};

// Is the server at an address the one that this side of the deployment has always been?
enum class Identity {
  same,
  different,
  unknown,  // it could not be asked
};

// Addresses of an answer that have to be asked for their identity before they are used.
[[nodiscard]] Hosts hosts_to_identify(const Hosts& in_use, const Hosts& answer);

struct Choice {
  Hosts use;               // in the order of the answer; what is in use already when nothing else may be
  Hosts refused;           // another server
  bool is_settled = true;  // false: something of the answer has to be asked again
};
[[nodiscard]] Choice choose_hosts(const Hosts& in_use, const Hosts& answer,
                                  const std::map<std::string, Identity>& verdicts);

}  // namespace turnout::proxy
