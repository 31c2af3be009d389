// What Turnout itself says to MySQL clients. The data path names its refusals by SQLSTATEs as PostgreSQL has them; here
// they get the numbers and states that drivers of MySQL know.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace turnout::proxy::mysql {

struct Refusal {
  std::uint16_t number = 1105;  // "unknown error", which no driver takes for something else
  std::string_view sqlstate = "HY000";
};
[[nodiscard]] Refusal refusal_of(std::string_view postgres_sqlstate);

// The whole message, with its header. `raw_error`: the server's own payload, which goes instead if there is one.
// Returns the number that comes next.
std::uint8_t put_refusal(std::string& out, std::uint8_t number, std::string_view postgres_sqlstate,
                         std::string_view message, std::string_view raw_error = {});

}  // namespace turnout::proxy::mysql
