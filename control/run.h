// `turnout run`: from a configuration file to a serving process and, at a signal, to its end.
//
// SIGTERM, SIGINT: no new clients, sessions end at safe points, the rest is cut after the grace; a second one ends the
// process at once, which is always safe (what must outlive a crash is in state_dir). SIGHUP: reload; a configuration
// with a mistake changes nothing.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

namespace turnout::control {

[[nodiscard]] int run_proxy(const std::string& config_file, std::uint32_t grace_ms, std::ostream& err);

}  // namespace turnout::control
