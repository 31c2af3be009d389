#include "proxy/mysql/refusal.h"

#include <algorithm>
#include <array>
#include <utility>

#include "protocol/mysql/reply.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

namespace {

// Source: MySQL "Server Error Message Reference"; 2003 and 2013 are what clients call a server out of reach, and lost.
constexpr std::array refusals = {
    std::pair{std::string_view("53300"), Refusal{1040, "08004"}},  // too many connections
    std::pair{std::string_view("53400"), Refusal{1041, "HY000"}},  // out of resources
    std::pair{std::string_view("54000"), Refusal{1153, "08S01"}},  // packet too large
    std::pair{std::string_view("57P01"), Refusal{1053, "08S01"}},  // server shutdown in progress
    std::pair{std::string_view("57P03"), Refusal{1053, "08S01"}},
    std::pair{std::string_view("57P05"), Refusal{4031, "HY000"}},  // disconnected because of inactivity
    std::pair{std::string_view("25P03"), Refusal{4031, "HY000"}},
    std::pair{std::string_view("57014"), Refusal{1317, "70100"}},  // query execution was interrupted
    std::pair{std::string_view("08P01"), Refusal{1835, "HY000"}},  // malformed communication packet
    std::pair{std::string_view("0A000"), Refusal{1235, "42000"}},  // not supported yet
    std::pair{std::string_view("08001"), Refusal{2003, "HY000"}},
    std::pair{std::string_view("08006"), Refusal{2013, "HY000"}},
    std::pair{std::string_view("08007"), Refusal{2013, "HY000"}},
    std::pair{std::string_view("28000"), Refusal{1045, "28000"}},  // access denied
};

}  // namespace

Refusal refusal_of(std::string_view postgres_sqlstate) {
  const auto* const found =
      std::find_if(refusals.begin(), refusals.end(), [&](const auto& one) { return one.first == postgres_sqlstate; });
  return found == refusals.end() ? Refusal{} : found->second;
}

std::uint8_t put_refusal(std::string& out, std::uint8_t number, std::string_view postgres_sqlstate,
                         std::string_view message, std::string_view raw_error) {
  if (!raw_error.empty()) return my::put_message(out, number, raw_error);
  const Refusal refusal = refusal_of(postgres_sqlstate);
  std::string payload;
  my::put_error(payload, {refusal.number, refusal.sqlstate, message});
  return my::put_message(out, number, payload);
}

std::string for_client(std::string_view raw_error, std::string_view client_host) {
  constexpr std::uint16_t host_is_blocked = 1129, host_not_privileged = 1130;
  constexpr std::uint16_t database_denied = 1044;  // names the account's host pattern, not where somebody came from
  const my::Error error = my::parse_error(my::bytes_of(raw_error));
  const bool is_of_host = error.number == host_is_blocked || error.number == host_not_privileged;
  // Whatever the language: 'host', or 'user'@'host'.
  const std::string_view opening = is_of_host ? "'" : "'@'";
  const std::size_t found = is_of_host ? error.message.find(opening) : error.message.rfind(opening);
  if (found == std::string_view::npos || error.number == database_denied) return std::string(raw_error);
  const std::size_t begin = found + opening.size();
  const std::size_t end = error.message.find('\'', begin);
  if (end == std::string_view::npos) return std::string(raw_error);
  std::string message(error.message.substr(0, begin));
  message += is_of_host ? "Turnout" : client_host;
  message += error.message.substr(end);
  std::string payload;
  my::put_error(payload, {error.number, error.sqlstate, message});
  return payload;
}

}  // namespace turnout::proxy::mysql
