// Events of a MySQL pair: they run on the writer alone, as what they were made.
//
// A server makes what it replicates of an event SLAVESIDE_DISABLED (manual, "Replication of invoked features"). So what
// is enabled on the new writer, once replication runs back, is disabled on the old one by that; and it has to be said
// for each of them.
#pragma once

#include <boost/json/array.hpp>
#include <string>
#include <vector>

#include "control/mysql_context.h"

namespace turnout::control {

struct MysqlEvent {
  std::string schema, name, definer;                          // "app@%"
  std::string sql_mode, time_zone, character_set, collation;  // of the session that made it: ALTER EVENT stores its own
};
[[nodiscard]] MysqlOutcome<std::vector<MysqlEvent>> enabled_events(MysqlClient& client);
[[nodiscard]] boost::json::array to_json(const std::vector<MysqlEvent>& events);

// ALTER EVENT … ENABLE, by its definer. An account "role@" is a role.
[[nodiscard]] std::string enable_sql(const MysqlEvent& event);

// After the decision: what was enabled on `from` before its fence is on the new writer, and its scheduler runs if the
// old one did. What cannot be enabled is named in the report; it does not keep the move from ending.
[[nodiscard]] StepAnswer move_events(MysqlContext& context, Attempt& attempt, router::Side from);

}  // namespace turnout::control
