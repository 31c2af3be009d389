// A start-up value in the words in which a server reports it: clients read them (a driver that finds another DateStyle
// than ISO gives up). Only what has a closed list of spellings; everything else is reported as it was wished.
// Source: PostgreSQL manual 20.11.2, table 24.3 (encodings and their aliases), datetime.c for DateStyle.
#pragma once

#include <string>
#include <string_view>

namespace turnout::protocol::pg {

// `told`: what the server reports by default, for a wish says only half of a DateStyle.
[[nodiscard]] std::string canonical_value(std::string_view name, std::string_view wish, std::string_view told);

}  // namespace turnout::protocol::pg
