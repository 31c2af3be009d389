#include "control/cli_verbs.h"

#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <iostream>
#include <utility>

#include "control/exit_code.h"
#include "control/render.h"

namespace turnout::control {
namespace {

constexpr std::uint32_t duration_ms_max = 3'600'000;

}  // namespace

std::string deployment_path(const std::string& deployment, std::string_view rest) {
  return "/v1/deployments/" + percent_encoded(deployment) + std::string(rest);
}

boost::json::value parsed(const std::string& body) {
  boost::json::error_code error;
  boost::json::parse_options options;
  options.max_depth = 64;
  auto value = boost::json::parse(body, error, {}, options);
  return error ? boost::json::value(body) : value;
}

int print(Cli& cli, const ClientAnswer& answer, Render render) {
  const bool is_wrong = answer.status >= 400;
  if (cli.json) {
    cli.out << answer.body << (answer.body.ends_with('\n') ? "" : "\n") << std::flush;
  } else if (is_wrong) {
    cli.err << render_problem(parsed(answer.body)) << std::flush;
  } else {
    cli.out << render(parsed(answer.body)) << std::flush;
  }
  // A failure that forgot its code must not look like success.
  if (is_wrong && answer.exit_code == 0) return code(exit_for_status(answer.status));
  return answer.exit_code;
}

int failed(Cli& cli, ExitCode exit, const std::string& text) {
  cli.err << text << std::endl;
  if (cli.json) {
    const boost::json::object problem{{"type", "urn:turnout:problem:client"},
                                      {"title", exit == ExitCode::unknown ? "Outcome unknown" : "No answer"},
                                      {"detail", text},
                                      {"outcome", exit == ExitCode::unknown ? "unknown" : "unreachable"}};
    cli.out << boost::json::serialize(problem) << std::endl;
  }
  return code(exit);
}

bool confirmed(Cli& cli, const std::string& question) {
  const bool can_ask = !cli.yes && !cli.json && ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  if (!can_ask) return true;
  cli.out << question << " Go on? [y/N] " << std::flush;
  std::string reply;
  std::getline(std::cin, reply);
  return reply == "y" || reply == "Y" || reply == "yes";
}

int show(Cli& cli, const std::string& target, Render render, std::uint32_t ms_max) {
  return print(cli, cli.client.get(target, ms_max), render);
}

int change(Cli& cli, const std::string& target, const boost::json::object& body, Render render, std::uint32_t ms_max) {
  try {
    return print(cli, cli.client.post(target, boost::json::serialize(body), ms_max), render);
  } catch (const Unreachable& lost) {
    if (!lost.sent()) throw;
    return failed(
        cli, ExitCode::unknown,
        std::string(lost.what()) + "\nThe request was sent and may have been carried out: look with 'turnout status'.");
  }
}

std::vector<std::string> deployments(Cli& cli, ClientAnswer& failure) {
  std::vector<std::string> names;
  failure = cli.client.get("/v1/deployments", quick_ms_max);
  if (failure.status >= 400) return names;
  const auto body = parsed(failure.body);
  const auto* object = body.if_object();
  const auto* found = object == nullptr ? nullptr : object->if_contains("deployments");
  if (found != nullptr && found->is_object()) {
    for (const auto& [name, state] : found->get_object()) names.emplace_back(name);
  }
  return names;
}

int show_status(Cli& cli, const std::string& deployment) {
  if (deployment.empty()) return show(cli, "/v1/deployments", render_status);
  const ClientAnswer answer = cli.client.get(deployment_path(deployment), quick_ms_max);
  if (cli.json || answer.status >= 400) return print(cli, answer, render_status);
  // One deployment's answer does not repeat its name; for people it stands under it like in the list.
  const boost::json::object all{{"deployments", boost::json::object{{deployment, parsed(answer.body)}}}};
  cli.out << render_status(all) << std::flush;
  return answer.exit_code;
}

int show_blockers(Cli& cli, const std::string& deployment) {
  std::vector<std::string> names{deployment};
  if (deployment.empty()) {
    ClientAnswer failure;
    names = deployments(cli, failure);
    if (names.empty()) return print(cli, failure, render_status);
  }
  if (names.size() == 1) return show(cli, deployment_path(names.front(), "/blockers"), render_blockers);
  boost::json::object all;
  int worst = 0;
  for (const std::string& name : names) {
    const ClientAnswer answer = cli.client.get(deployment_path(name, "/blockers"), quick_ms_max);
    if (worst == 0) worst = answer.exit_code;
    all[name] = parsed(answer.body);
    if (!cli.json) cli.out << name << ":\n" << render_blockers(all[name]);
  }
  if (cli.json) cli.out << boost::json::serialize(all) << "\n";
  return worst;
}

int show_preflight(Cli& cli, const std::string& deployment, bool rollback) {
  const std::string target = deployment_path(deployment, "/preflight") + (rollback ? "?rollback=true" : "");
  return show(cli, target, render_preflight, slow_ms_max);
}

std::optional<std::uint32_t> duration_ms(std::string_view text) {
  std::uint64_t number = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc{} || number > duration_ms_max) return std::nullopt;
  const std::string_view unit(end, static_cast<std::size_t>(last - end));
  std::uint64_t factor = 0;
  if (unit == "ms") factor = 1;
  if (unit == "s" || unit.empty()) factor = 1'000;
  if (unit == "m" || unit == "min") factor = 60'000;
  if (unit == "h") factor = 3'600'000;
  if (factor == 0 || number * factor > duration_ms_max) return std::nullopt;
  return static_cast<std::uint32_t>(number * factor);
}

}  // namespace turnout::control
