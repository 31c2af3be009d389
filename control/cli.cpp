#include "control/cli.h"

#include <pwd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <ostream>
#include <utility>

#include "control/cli_verbs.h"
#include "control/exit_code.h"
#include "control/render.h"
#include "control/run.h"
#include "control/version.h"

namespace turnout::control {
namespace {

constexpr std::string_view default_control = "http://127.0.0.1:6480";

// What the audit tells beside what the server knows; containers often have no USER.
std::string user_name() {
  for (const char* const variable : {"USER", "LOGNAME"}) {
    const char* const name = std::getenv(variable);
    if (name != nullptr && *name != '\0') return name;
  }
  const passwd* const entry = ::getpwuid(::getuid());
  return entry == nullptr ? "" : entry->pw_name;
}

// Everything that can stand on the command line; each verb reads its own part.
struct Options {
  std::string control, token_file, output = "table";
  bool yes = false;
  std::string file, deployment, action, sql, database, epoch, grace = "30s", interval = "1s";
  int percent = 0;
  int lines = 100;
  bool connect = false, rollback = false, list = false;
  CutoverRequest cutover;
  std::string shadow_action = "report";
  PrepareRequest prepare;
  CompareRequest compare;
};

using Verb = std::function<int()>;

class CommandLine {
 public:
  CommandLine(std::ostream& out, std::ostream& err) : out_(out), err_(err) {
    app_.require_subcommand(1);
    app_.fallthrough();  // global options may stand after the verb
    app_.set_version_flag("--version", "turnout " + std::string(version_text));
    app_.add_option("--control", options_.control, "URL or unix:PATH of the control API")->envname("TURNOUT_CONTROL");
    app_.add_option("--token-file", options_.token_file, "file with the API's token")->envname("TURNOUT_TOKEN_FILE");
    app_.add_option("-o,--output", options_.output, "table or json")->check(CLI::IsMember({"table", "json"}));
    app_.add_flag("--yes", options_.yes, "do not ask");
    add_local_verbs();
    add_questions();
    add_changes();
  }

  int run(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::ParseError& stop) {
      // Help and version arrive as exceptions with code 0; everything else is a mistake in the words.
      return app_.exit(stop, out_, err_) == 0 ? code(ExitCode::done) : code(ExitCode::usage);
    }
    try {
      return chosen_();
    } catch (const Unreachable& lost) {
      Cli cli = client();
      return failed(cli, ExitCode::unreachable, lost.what());
    } catch (const std::exception& mistake) {
      err_ << mistake.what() << "\n";
      return code(ExitCode::usage);
    }
  }

 private:
  CLI::App* verb(const std::string& name, const std::string& help, Verb run) {
    CLI::App* sub = app_.add_subcommand(name, help);
    sub->callback([this, run = std::move(run)] { chosen_ = run; });
    return sub;
  }

  // A verb about one deployment; `run` gets the client.
  CLI::App* deployment_verb(const std::string& name, const std::string& help, std::function<int(Cli&)> run,
                            bool required = true) {
    CLI::App* sub = verb(name, help, [this, run = std::move(run)] {
      Cli cli = client();
      return run(cli);
    });
    auto* option = sub->add_option("deployment", options_.deployment, "name of the deployment");
    if (required) option->required();
    return sub;
  }

  [[nodiscard]] std::string path(std::string_view rest) const { return deployment_path(options_.deployment, rest); }

  [[nodiscard]] std::string token() const {
    if (options_.token_file.empty()) return "";
    std::ifstream file(options_.token_file);
    std::string token;
    if (!file || !std::getline(file, token)) {
      throw std::runtime_error("--token-file " + options_.token_file + ": cannot be read, or its first line is empty");
    }
    token.erase(token.find_last_not_of(" \t\r") + 1);
    return token;
  }

  [[nodiscard]] Cli client() {
    const std::string where = options_.control.empty() ? std::string(default_control) : options_.control;
    return Cli{HttpClient(control_address(where), token(), user_name()), options_.output == "json", options_.yes, out_,
               err_};
  }

  void add_local_verbs();
  void add_questions();
  void add_changes();
  void add_cutover(const std::string& name, const std::string& help, bool rollback);
  void add_shadow();
  void add_compare();

  std::ostream& out_;
  std::ostream& err_;
  CLI::App app_{"Turnout: a proxy that moves an application from one database to its upgraded copy", "turnout"};
  Options options_;
  Verb chosen_;
};

void CommandLine::add_local_verbs() {
  CLI::App* run = verb("run", "serve, until SIGTERM", [this] {
    const auto grace_ms = duration_ms(options_.grace);
    if (!grace_ms) throw std::runtime_error("--grace " + options_.grace + ": write 30s, 500ms or 2m");
    return run_proxy(options_.file, *grace_ms, err_);
  });
  run->add_option("-c,--config", options_.file, "configuration file")->required();
  run->add_option("--grace", options_.grace, "time for sessions to end after SIGTERM (default 30s)");

  CLI::App* check_verb = verb("check", "look for mistakes in a configuration file", [this] {
    return check({options_.file, options_.connect, options_.output == "json"}, out_, err_);
  });
  check_verb->add_option("-c,--config", options_.file, "configuration file")->required();
  check_verb->add_flag("--connect", options_.connect, "also log in to both sides and compare the pools with them");

  verb("version", "print the version", [this] {
    if (options_.output == "json") {
      out_ << "{\"version\":\"" << version_text << "\"}\n";
    } else {
      out_ << "turnout " << version_text << "\n";
    }
    return code(ExitCode::done);
  });
}

void CommandLine::add_questions() {
  deployment_verb(
      "status", "writer, phase and ramp of the deployments",
      [this](Cli& cli) { return show_status(cli, options_.deployment); }, false);
  CLI::App* watch_verb = verb("watch", "status that keeps itself up to date", [this] {
    const auto interval_ms = duration_ms(options_.interval);
    if (!interval_ms || *interval_ms < 100) throw std::runtime_error("--interval: at least 100ms");
    Cli cli = client();
    return watch(cli, *interval_ms);
  });
  watch_verb->add_option("--interval", options_.interval, "between two looks (default 1s)");
  verb("pools", "pools of server connections", [this] {
    Cli cli = client();
    return show(cli, "/v1/pools", render_pools);
  });
  verb("clients", "client connections", [this] {
    Cli cli = client();
    return show(cli, "/v1/clients", render_clients);
  });
  deployment_verb(
      "blockers", "sessions that cannot move, or that a drain would wait for",
      [this](Cli& cli) { return show_blockers(cli, options_.deployment); }, false);
  CLI::App* preflight = deployment_verb("preflight", "the checks before a cutover", [this](Cli& cli) {
    return show_preflight(cli, options_.deployment, options_.rollback);
  });
  preflight->add_flag("--rollback", options_.rollback, "check the way back instead");
  CLI::App* explain = deployment_verb("explain-route", "where would this text run, and why?", [this](Cli& cli) {
    boost::json::object body{{"sql", options_.sql}};
    if (!options_.database.empty()) body["database"] = options_.database;
    return change(cli, path("/explain-route"), body, render_explain);
  });
  explain->add_option("sql", options_.sql, "the text")->required();
  explain->add_option("--database", options_.database, "whose tables and functions (default: the first)");
  CLI::App* report = deployment_verb("report", "what a past attempt did", [this](Cli& cli) {
    if (options_.list) return show(cli, path("/reports"), render_reports);
    const std::string epoch = options_.epoch.empty() ? "latest" : options_.epoch;
    return show(cli, path("/reports/") + percent_encoded(epoch), render_report);
  });
  report->add_option("epoch", options_.epoch, "its number (default: the newest)");
  report->add_flag("--list", options_.list, "all of them, a line each");
  CLI::App* audit = verb("audit", "who changed what", [this] {
    Cli cli = client();
    return show(cli, "/v1/audit?lines=" + std::to_string(options_.lines), render_audit);
  });
  audit->add_option("--lines", options_.lines, "how many (default 100)")->check(CLI::Range(1, 10'000));
}

void CommandLine::add_changes() {
  CLI::App* make_ready = deployment_verb("prepare", "create what a cutover needs and is missing", [this](Cli& cli) {
    options_.prepare.deployment = options_.deployment;
    return prepare(cli, options_.prepare);
  });
  auto* replicate = make_ready->add_flag("--replicate", options_.prepare.replicate,
                                         "also green's copy: schema, publication, subscription, statistics");
  make_ready->add_flag("--undo", options_.prepare.undo, "before any cutover: remove what --replicate made")
      ->excludes(replicate);
  CLI::App* shift = deployment_verb("shift", "share of the reads that green serves", [this](Cli& cli) {
    return change(cli, path("/shift"), {{"percent", options_.percent}}, render_done);
  });
  shift->add_option("percent", options_.percent, "0 to 100")->required()->check(CLI::Range(0, 100));
  CLI::App* ramp = verb("ramp", "a share of the reads that grows by itself, step by step", [this] {
    Cli cli = client();
    if (options_.action == "show") return show(cli, path("/ramp"), render_ramp);
    return change(cli, path("/ramp"), {{"action", options_.action}}, render_ramp, slow_ms_max);
  });
  ramp->add_option("action", options_.action, "start, pause, resume, abort; show: step, numbers, why it stepped back")
      ->required()
      ->check(CLI::IsMember({"start", "pause", "resume", "abort", "show"}));
  ramp->add_option("deployment", options_.deployment, "name of the deployment")->required();
  add_shadow();
  add_compare();
  add_cutover("cutover", "move the writes to the other side", false);
  add_cutover("rollback", "move the writes back", true);
  deployment_verb("abort", "stop an attempt; nothing is changed",
                  [this](Cli& cli) { return change(cli, path("/abort"), {}, render_done); });
  deployment_verb("finish", "give up the way back and remove what it needed", [this](Cli& cli) {
    if (!confirmed(cli, "After finish there is no rollback for " + options_.deployment + ".")) {
      return code(ExitCode::aborted);
    }
    return change(cli, path("/finish"), {}, render_done, slow_ms_max);
  });
  deployment_verb("pause", "hold all new work",
                  [this](Cli& cli) { return change(cli, path("/pause"), {}, render_done); });
  deployment_verb("resume", "release what pause holds",
                  [this](Cli& cli) { return change(cli, path("/resume"), {}, render_done); });
  verb("reload", "read the configuration file again", [this] {
    Cli cli = client();
    return change(cli, "/v1/reload", {}, render_done);
  });
}

void CommandLine::add_shadow() {
  CLI::App* sub = deployment_verb("shadow", "run a share of the reads on both sides and compare", [this](Cli& cli) {
    const bool is_on = options_.shadow_action == "on";
    if (is_on != (options_.percent != 0)) throw std::runtime_error("shadow: on needs a PERCENT from 1 to 100");
    if (options_.shadow_action == "report") return show(cli, path("/shadow"), render_shadow);
    return change(cli, path("/shadow"), {{"percent", options_.percent}}, render_done, slow_ms_max);
  });
  sub->add_option("action", options_.shadow_action, "on, off; report (default): what differed, failed or got slower")
      ->check(CLI::IsMember({"on", "off", "report"}));
  sub->add_option("percent", options_.percent, "with on: 1 to 100")->check(CLI::Range(1, 100));
}

void CommandLine::add_compare() {
  CLI::App* sub = deployment_verb("compare", "compare the tables of both sides row by row", [this](Cli& cli) {
    options_.compare.deployment = options_.deployment;
    return compare(cli, options_.compare);
  });
  CompareRequest& request = options_.compare;
  sub->add_option("--table", request.tables, "only this table, with its schema (repeatable; default: all published)");
  sub->add_option("--rows-per-second", request.rows_per_second, "read no more than this (default: the configuration's)")
      ->check(CLI::Range(1, 1'000'000'000));
  auto* anew = sub->add_flag("--anew", request.anew, "begin again although one was broken off");
  auto* detach = sub->add_flag("--detach", request.detach, "begin, and do not wait for the end");
  auto* show = sub->add_flag("--show", request.show, "how the newest one stands; begins nothing")->excludes(anew);
  show->excludes(detach);
  sub->add_flag("--stop", request.stop, "stop the one that runs")->excludes(anew)->excludes(show)->excludes(detach);
}

void CommandLine::add_cutover(const std::string& name, const std::string& help, bool rollback) {
  CLI::App* sub = deployment_verb(name, help, [this, rollback](Cli& cli) {
    options_.cutover.deployment = options_.deployment;
    options_.cutover.rollback = rollback;
    return cutover(cli, options_.cutover);
  });
  auto* dry_run = sub->add_flag("--dry-run", options_.cutover.dry_run, "checks and plan only; touches nothing");
  sub->add_flag("--rehearse", options_.cutover.rehearse, "the real window, then resume on the old writer")
      ->excludes(dry_run);
  sub->add_option("--timeout", options_.cutover.timeout, "hold to resume, e.g. 5s; then everything is reverted")
      ->check([](const std::string& text) { return duration_ms(text) ? "" : "write 5s, 1500ms or 2m"; });
  sub->add_option("--waive", options_.cutover.waive, "go on although this check warns or fails (repeatable)")
      ->allow_extra_args(false);
}

}  // namespace

int run_command_line(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
  CommandLine command_line(out, err);
  return command_line.run(argc, argv);
}

}  // namespace turnout::control
