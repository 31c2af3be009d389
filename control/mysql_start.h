// A MySQL pair outside an attempt: what a start must not believe, who would keep a drain waiting, and the end of the
// way back.
#pragma once

#include <boost/json/array.hpp>
#include <string>

#include "control/decision_store.h"
#include "control/mysql_context.h"

namespace turnout::control {

// Why the store's story cannot be believed at start-up: the writer it names takes no writes, and the other side does.
// "" = it agrees, an attempt is open (the machine finds out), or the servers cannot be asked.
[[nodiscard]] std::string mysql_doubt(MysqlShelf& shelf, const conf::Deployment& deployment,
                                      const drain::Recovered& log);
// What a cutover would have to wait for now: as control/blockers.h lists it.
[[nodiscard]] boost::json::array list_blockers(MysqlContext& context, router::Side writer);
// The former writer follows nobody any more; what was removed, a line each. "" or why not.
[[nodiscard]] std::string finish_pair(MysqlContext& context, router::Side writer, boost::json::array& removed);

}  // namespace turnout::control
