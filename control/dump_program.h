// pg_dump: which one, and the schema it writes.
//
// A pg_dump refuses servers that are newer than itself, and one that is newer than green may write what green does not
// know. So the newest that is neither older than blue nor newer than green is taken; failing that, the oldest that is
// newer than both.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/config.h"
#include "control/pg_client.h"

namespace turnout::control {

struct DumpProgram {
  std::string path;
  int major = 0;
};

// "pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)" → 15; 0 for anything else.
[[nodiscard]] int dump_major(std::string_view version_line);
[[nodiscard]] std::optional<DumpProgram> choose_dump(const std::vector<DumpProgram>& programs, int blue_major,
                                                     int green_major);

struct DumpSearch {
  std::optional<DumpProgram> program;
  std::string error;  // when there is none: what was found
};
// Only `configured` when it is not empty; else where packages put it, and PATH. Asks each for its version.
[[nodiscard]] DumpSearch find_dump(const std::string& configured, int blue_major, int green_major);

struct SchemaDump {
  std::string script;
  std::string error;  // "" = whole
};
[[nodiscard]] SchemaDump dump_schema(const DumpProgram& program, const PgTarget& source, const conf::Replicate& limits,
                                     const std::atomic<bool>& cancelled);

}  // namespace turnout::control
