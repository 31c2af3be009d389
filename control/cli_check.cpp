// check: every mistake of a configuration file, and with --connect those that only the servers can tell.
#include <boost/json/serialize.hpp>
#include <ostream>

#include "conf/load.h"
#include "control/cli_verbs.h"
#include "control/exit_code.h"
#include "control/server_check.h"
#include "proxy/access.h"

namespace turnout::control {
namespace {

constexpr std::uint32_t connect_ms_max = 5'000;

boost::json::object as_json(const conf::Mistake& mistake) {
  return {{"file", mistake.file},
          {"line", mistake.line},
          {"column", mistake.column},
          {"key", mistake.key},
          {"text", mistake.text}};
}

int report_mistakes(const conf::Invalid& invalid, bool json, std::ostream& out, std::ostream& err) {
  boost::json::array list;
  for (const conf::Mistake& mistake : invalid.mistakes()) {
    if (!json) err << mistake.message() << "\n";
    list.push_back(as_json(mistake));
  }
  if (json) out << boost::json::serialize(boost::json::object{{"ok", false}, {"mistakes", list}}) << "\n";
  return code(ExitCode::invalid_configuration);
}

}  // namespace

int check(const CheckRequest& request, std::ostream& out, std::ostream& err) {
  conf::Config config;
  try {
    config = conf::load(request.file);
  } catch (const conf::Invalid& invalid) {
    return report_mistakes(invalid, request.json, out, err);
  }
  std::vector<conf::Mistake> mistakes;
  for (const conf::Deployment& deployment : config.deployments)
    for (conf::Mistake& mistake : proxy::read_access(deployment).mistakes) mistakes.push_back(std::move(mistake));
  if (!mistakes.empty()) return report_mistakes(conf::Invalid(mistakes), request.json, out, err);
  bool is_reachable = true, fits = true;
  boost::json::array servers;
  if (request.connect) {
    for (const ServerFinding& finding : check_servers(config, connect_ms_max)) {
      const bool is_fine = finding.kind == ServerFinding::Kind::fine;
      is_reachable = is_reachable && finding.kind != ServerFinding::Kind::unreachable;
      fits = fits && finding.kind != ServerFinding::Kind::pool_too_large;
      if (!request.json) (is_fine ? out : err) << finding.text << "\n";
      servers.push_back(
          boost::json::object{{"deployment", finding.deployment}, {"ok", is_fine}, {"text", finding.text}});
    }
  }
  const bool ok = is_reachable && fits;
  if (request.json) {
    boost::json::object answer{{"ok", ok}, {"mistakes", boost::json::array{}}};
    if (request.connect) answer["servers"] = servers;
    out << boost::json::serialize(answer) << "\n";
  } else if (ok) {
    out << "OK\n";
  }
  if (!fits) return code(ExitCode::invalid_configuration);
  return code(is_reachable ? ExitCode::done : ExitCode::refused);
}

}  // namespace turnout::control
