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

// An error of a server about a login of ours, as the client would have heard it there: its own host in place of ours.
// Where the server will not hear of our host at all it says "Turnout", which is whom to let in.
[[nodiscard]] std::string for_client(std::string_view raw_error, std::string_view client_host);

}  // namespace turnout::proxy::mysql
