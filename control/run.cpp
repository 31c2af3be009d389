#include "control/run.h"

#include <signal.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <mutex>
#include <ostream>
#include <utility>
#include <vector>

#include "conf/load.h"
#include "conf/reload.h"
#include "control/access.h"
#include "control/backend.h"
#include "control/exit_code.h"
#include "control/http_server.h"
#include "control/server_check.h"
#include "control/version.h"
#include "proxy/locked_memory.h"

namespace turnout::control {
namespace {

constexpr std::uint32_t server_check_ms_max = 2'000;

// One line an event, on stderr, where a service manager and a container both look.
void start_logging(const conf::Config& config) {
  auto logger = spdlog::stderr_logger_mt("turnout");
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  logger->set_level(spdlog::level::from_str(config.log_level == "warn" ? "warning" : config.log_level));
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

// Blocked before the first thread exists, so that every thread inherits it and only wait() sees them.
sigset_t take_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

// A pool that the server can never fill is a mistake of the configuration; a server that is away is not.
std::string pools_too_large(const conf::Config& config) {
  std::string mistakes;
  for (const ServerFinding& finding : check_servers(config, server_check_ms_max)) {
    if (finding.kind == ServerFinding::Kind::pool_too_large) {
      mistakes += (mistakes.empty() ? "" : "\n") + config.file + ": " + finding.text;
    }
    if (finding.kind == ServerFinding::Kind::unreachable) spdlog::warn("{}", finding.text);
  }
  return mistakes;
}

std::vector<std::string> names_of(const conf::Config& config) {
  std::vector<std::string> names;
  for (const conf::Deployment& deployment : config.deployments) names.push_back(deployment.name);
  return names;
}

// The parts of a serving process, in the order they need each other.
class Process {
 public:
  explicit Process(conf::Config config)
      : config_(std::move(config)),
        proxy_(config_),
        operations_(config_, proxy_),
        backend_(operations_, proxy_, names_of(config_), [this](const std::string& who) { return reload(who); }),
        server_(config_.control, backend_) {
    proxy_.set_identity_check([this](proxy::DeploymentIndex index, router::Side side, const conf::Address& numeric) {
      return operations_.identify(index, side, numeric);
    });
  }

  // The resolver asks operations_, which ends before proxy_ does.
  ~Process() { proxy_.stop_resolving(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void start() {
    operations_.open();
    proxy_.start();
    operations_.start();
    server_.start();
    spdlog::info("turnout {} serves {} deployment(s), control on {}", version_text, config_.deployments.size(),
                 config_.control.listen.text());
  }

  // The control API stays up to the end: whoever watches sees the sessions go.
  void stop(std::uint32_t grace_ms) {
    backend_.set_stopping();
    proxy_.stop(grace_ms);
    operations_.stop();
    server_.stop();
  }

  Answer reload(const std::string& who) {
    const std::lock_guard lock(reload_);
    try {
      conf::Config fresh = conf::load(config_.file);
      if (const std::string refused = conf::refused_by_reload(config_, fresh); !refused.empty()) return kept(refused);
      if (const std::string refused = operations_.why_no_reload(fresh); !refused.empty()) return kept(refused);
      if (const std::string mistakes = pools_too_large(fresh); !mistakes.empty()) return kept(mistakes);
      proxy_.reload(fresh);
      operations_.reload(fresh);
      config_ = std::move(fresh);
    } catch (const std::exception& mistake) {
      return kept(mistake.what());
    }
    spdlog::info("reloaded {} for {}", config_.file, who);
    return {200, 0, boost::json::object{{"reloaded", config_.file}}};
  }

 private:
  static Answer kept(const std::string& mistakes) {
    spdlog::error("reload refused, the old configuration stays:\n{}", mistakes);
    Answer answer =
        problem(422, "invalid_configuration", "The configuration has mistakes; the old one stays", mistakes);
    answer.exit_code = code(ExitCode::invalid_configuration);
    return answer;
  }

  conf::Config config_;
  std::mutex reload_;
  proxy::Proxy proxy_;
  Operations operations_;
  OperationsBackend backend_;
  HttpServer server_;
};

int wait(const sigset_t& signals) {
  int received = 0;
  while (sigwait(&signals, &received) != 0) {
  }
  return received;
}

void stop_or_cut(Process& process, const sigset_t& signals, std::uint32_t grace_ms) {
  auto stopped = std::async(std::launch::async, [&] { process.stop(grace_ms); });
  constexpr timespec look = {0, 50'000'000};
  while (stopped.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    const int again = sigtimedwait(&signals, nullptr, &look);
    if (again == SIGTERM || again == SIGINT) {
      spdlog::warn("second signal: ending at once");
      spdlog::shutdown();
      std::_Exit(code(ExitCode::done));
    }
  }
  stopped.get();
}

}  // namespace

int run_proxy(const std::string& config_file, std::uint32_t grace_ms, std::ostream& err) {
  const sigset_t signals = take_signals();
  static_cast<void>(proxy::lock_secrets());  // before there is any
  std::unique_ptr<Process> process;
  try {
    conf::Config config = conf::load(config_file);
    start_logging(config);
    if (const std::string mistakes = pools_too_large(config); !mistakes.empty()) throw std::runtime_error(mistakes);
    process = std::make_unique<Process>(std::move(config));
    if (const std::string trouble = proxy::lock_secrets(); !trouble.empty()) spdlog::warn("{}", trouble);
  } catch (const std::exception& mistake) {
    err << mistake.what() << std::endl;
    return code(ExitCode::invalid_configuration);
  }
  try {
    process->start();
  } catch (const std::exception& failed) {
    spdlog::error("cannot start: {}", failed.what());
    return code(ExitCode::conflict);
  }
  for (int received = wait(signals); received == SIGHUP; received = wait(signals)) {
    static_cast<void>(process->reload("SIGHUP"));
  }
  spdlog::info("stopping, {} s grace; a second signal ends at once", grace_ms / 1'000);
  stop_or_cut(*process, signals, grace_ms);
  spdlog::info("stopped");
  return code(ExitCode::done);
}

}  // namespace turnout::control
