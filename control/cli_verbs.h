// The verbs of the command line, and what they share. Internal to control/cli*.cpp.
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/exit_code.h"
#include "control/http_client.h"

namespace turnout::control {

inline constexpr std::uint32_t quick_ms_max = 30'000;
inline constexpr std::uint32_t slow_ms_max = 600'000;  // prepare waits for every running write transaction of a server

using Render = std::string (*)(const boost::json::value&);

// One invocation: where to ask and how to answer.
struct Cli {
  HttpClient client;
  bool json = false;
  bool yes = false;
  std::ostream& out;
  std::ostream& err;
};

[[nodiscard]] std::string deployment_path(const std::string& deployment, std::string_view rest = "");

// Prints an answer (or, for a failure, what was wrong) and returns its exit code.
int print(Cli& cli, const ClientAnswer& answer, Render render);
[[nodiscard]] boost::json::value parsed(const std::string& body);
// Names from GET /v1/deployments; empty when it fails, and then `failure` has the answer.
[[nodiscard]] std::vector<std::string> deployments(Cli& cli, ClientAnswer& failure);
// On a terminal without --yes: asks, true = go on. Scripts are never asked.
[[nodiscard]] bool confirmed(Cli& cli, const std::string& question);

// What went wrong on this side of the wire: words to `err`, and with -o json a problem document to `out`.
int failed(Cli& cli, ExitCode exit, const std::string& text);

int show(Cli& cli, const std::string& target, Render render, std::uint32_t ms_max = quick_ms_max);
int change(Cli& cli, const std::string& target, const boost::json::object& body, Render render,
           std::uint32_t ms_max = quick_ms_max);
int show_status(Cli& cli, const std::string& deployment);  // "" = all
int show_blockers(Cli& cli, const std::string& deployment);
int show_preflight(Cli& cli, const std::string& deployment, bool rollback);
int watch(Cli& cli, std::uint32_t interval_ms);

struct CutoverRequest {
  std::string deployment;
  bool rollback = false, dry_run = false, rehearse = false;
  std::string timeout;  // "5s", "" = the configuration's
  std::vector<std::string> waive;
};
int cutover(Cli& cli, const CutoverRequest& request);

struct PrepareRequest {
  std::string deployment;
  bool replicate = false, undo = false;
};
int prepare(Cli& cli, const PrepareRequest& request);
struct CompareRequest {
  std::string deployment;
  std::vector<std::string> tables;
  std::uint64_t rows_per_second = 0;  // 0 = the configuration's
  bool anew = false, stop = false, show = false, detach = false;
};
int compare(Cli& cli, const CompareRequest& request);

struct CheckRequest {
  std::string file;
  bool connect = false, json = false;
};
int check(const CheckRequest& request, std::ostream& out, std::ostream& err);

// "5s", "1500ms", "2m", "1h"; a bare number is seconds. Nothing for anything else, or beyond an hour.
[[nodiscard]] std::optional<std::uint32_t> duration_ms(std::string_view text);

}  // namespace turnout::control
