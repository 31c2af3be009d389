#include "control/dump_program.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "control/child_process.h"

namespace turnout::control {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t programs_max = 64;

void add(std::vector<std::string>& paths, const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error) || paths.size() >= programs_max) return;
  if (std::find(paths.begin(), paths.end(), path.string()) == paths.end()) paths.push_back(path.string());
}

// Where packages put the programs of one version beside another: Debian's, then the PostgreSQL project's for Red Hat.
// PATH comes last, for on Debian it leads to a wrapper that chooses by itself.
std::vector<std::string> places() {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", error)) {
    add(paths, entry.path() / "bin" / "pg_dump");
  }
  for (const auto& entry : fs::directory_iterator("/usr", error)) {
    if (entry.path().filename().string().starts_with("pgsql-")) add(paths, entry.path() / "bin" / "pg_dump");
  }
  add(paths, "/usr/local/pgsql/bin/pg_dump");
  const char* const variable = std::getenv("PATH");
  std::string_view rest = variable == nullptr ? "" : variable;
  while (!rest.empty()) {
    const auto end = std::min(rest.find(':'), rest.size());
    if (end > 0) add(paths, fs::path(rest.substr(0, end)) / "pg_dump");
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return paths;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

int dump_major(std::string_view line) {
  constexpr std::string_view before = "pg_dump (PostgreSQL) ";
  if (!line.starts_with(before)) return 0;
  int major = 0;
  const auto number = line.substr(before.size());
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), major);
  return error == std::errc{} && end != number.data() ? major : 0;
}

std::optional<DumpProgram> choose_dump(const std::vector<DumpProgram>& programs, int blue_major, int green_major) {
  std::optional<DumpProgram> fits, newer;
  for (const auto& program : programs) {
    if (program.major < blue_major) continue;
    if (program.major <= green_major && (!fits || program.major > fits->major)) fits = program;
    if (program.major > green_major && (!newer || program.major < newer->major)) newer = program;
  }
  return fits ? fits : newer;
}

DumpSearch find_dump(const std::string& configured, int blue_major, int green_major) {
  const std::atomic<bool> never{false};
  std::vector<DumpProgram> programs;
  std::string seen;
  for (const auto& path : configured.empty() ? places() : std::vector<std::string>{configured}) {
    const auto asked = run_program({path, {"--version"}, {}}, never);
    const int major = asked.ok ? dump_major(first_line(asked.output)) : 0;
    seen += (seen.empty() ? "" : ", ") + path + " (" +
            (major != 0 ? std::to_string(major) : (asked.ok ? "not a pg_dump" : asked.error)) + ')';
    if (major != 0) programs.push_back({path, major});
  }
  DumpSearch search;
  search.program = choose_dump(programs, blue_major, green_major);
  if (!search.program) {
    search.error = "none of version " + std::to_string(blue_major) +
                   " or newer; there is: " + (seen.empty() ? "no pg_dump at all" : seen);
  }
  return search;
}

SchemaDump dump_schema(const DumpProgram& program, const PgTarget& source, const conf::Replicate& limits,
                       const std::atomic<bool>& cancelled) {
  // The password goes through the environment, which only we and root can read; arguments are everybody's to see.
  auto login = source.login;
  login.password.clear();
  ProgramCall call;
  call.path = program.path;
  call.arguments = {"--schema-only",
                    "--no-publications",
                    "--no-subscriptions",
                    "--quote-all-identifiers",  // words that are reserved in green's version only
                    "--exclude-schema=turnout",
                    "--lock-wait-timeout=" + std::to_string(limits.statement_ms_max),
                    "--dbname=" + client_conninfo(source, login)};
  call.environment = {{"PGPASSWORD", source.login.password}, {"PGCLIENTENCODING", "UTF8"}, {"LC_ALL", "C"}};
  call.ms_max = limits.dump_ms_max;
  call.output_bytes_max = limits.dump_bytes_max;
  auto end = run_program(call, cancelled);
  SchemaDump dump;
  if (end.ok) {
    dump.script = std::move(end.output);
  } else {
    dump.error = program.path + ": " + end.error + (end.complaint.empty() ? "" : ": " + end.complaint);
  }
  return dump;
}

}  // namespace turnout::control
