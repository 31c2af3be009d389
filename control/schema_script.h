// What pg_dump wrote, as statements that libpq can send one by one, so that the one that fails can be named. Pure.
//
// The text is psql's: since the releases of August 2025 it has \restrict and \unrestrict, lines for psql alone, which
// are left out; any other backslash command is refused. A routine's BEGIN ATOMIC … END holds semicolons that end
// nothing (psql counts them the same way). Slices of the text, which must outlive them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace turnout::control {

struct SchemaScript {
  std::vector<std::string_view> statements;  // without comments before them, with their semicolon
  std::string error;                         // "" = whole
};
[[nodiscard]] SchemaScript split_script(std::string_view text);

}  // namespace turnout::control
