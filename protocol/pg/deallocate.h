// The names that a text deallocates, where they stand in it: a statement of the protocol has another name on the
// server.
//
// DEALLOCATE [ PREPARE ] { name | ALL } (PostgreSQL manual, "DEALLOCATE"). psqlODBC sends it between SAVEPOINT and
// RELEASE, in one text. Slices of the text, which must outlive them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace turnout::protocol::pg {

struct DeallocatedName {
  std::string_view text;  // as written, with its quotes
  std::string name;       // what it names
};

// In their order; not ALL. Only for texts that may_touch_state() lets through.
[[nodiscard]] std::vector<DeallocatedName> deallocated_names(std::string_view sql);

}  // namespace turnout::protocol::pg
