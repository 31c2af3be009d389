#include "control/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

namespace turnout::control {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t complaint_bytes_max = 16 * 1024;
constexpr int look_ms = 50;  // between two looks at `cancelled`

class Pipe {
 public:
  Pipe() { is_open_ = ::pipe2(ends_.data(), O_CLOEXEC) == 0; }
  ~Pipe() {
    close_read();
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  [[nodiscard]] bool is_open() const { return is_open_; }
  [[nodiscard]] int read_end() const { return ends_[0]; }
  [[nodiscard]] int write_end() const { return ends_[1]; }
  void close_read() { close_one(ends_[0]); }
  void close_write() { close_one(ends_[1]); }

 private:
  static void close_one(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }
  std::array<int, 2> ends_ = {-1, -1};
  bool is_open_ = false;
};

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (auto& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

std::vector<std::string> environment_of(const ProgramCall& call) {
  std::vector<std::string> list;
  for (char** one = ::environ; *one != nullptr; ++one) {
    const std::string entry = *one;
    const auto name = entry.substr(0, entry.find('='));
    const bool replaced = std::any_of(call.environment.begin(), call.environment.end(),
                                      [&](const auto& own) { return own.first == name; });
    // What libpq would take from our own surroundings is not what the configuration says.
    if (!replaced && !name.starts_with("PG")) list.push_back(entry);
  }
  for (const auto& [name, value] : call.environment) list.push_back(name + '=' + value);
  return list;
}

int spawn(const ProgramCall& call, const Pipe& output, const Pipe& complaint, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output.write_end(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, complaint.write_end(), STDERR_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::vector<std::string> words{call.path};
  words.insert(words.end(), call.arguments.begin(), call.arguments.end());
  auto environment = environment_of(call);
  const int error =
      posix_spawn(&pid, call.path.c_str(), &actions, &attributes, pointers(words).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error;
}

// What can be read now; false at the end of the stream.
bool drain(int from, std::string& into, std::size_t bytes_max, bool& is_full) {
  std::array<char, 64 * 1024> buffer{};
  const auto count = ::read(from, buffer.data(), buffer.size());
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  const auto room = bytes_max - std::min(bytes_max, into.size());
  if (static_cast<std::size_t>(count) > room) is_full = true;
  into.append(buffer.data(), std::min(room, static_cast<std::size_t>(count)));
  return count > 0;
}

// Reads until both streams end or a limit is met; why it was given up, or "".
std::string listen(const ProgramCall& call, Pipe& output, Pipe& complaint, const std::atomic<bool>& cancelled,
                   ProgramEnd& end) {
  const auto deadline = Clock::now() + std::chrono::milliseconds(call.ms_max);
  while (output.read_end() >= 0 || complaint.read_end() >= 0) {
    if (cancelled) return "given up";
    if (Clock::now() > deadline) return "not done within " + std::to_string(call.ms_max) + " ms";
    // A descriptor of -1 is passed over by poll().
    std::array<pollfd, 2> both = {{{output.read_end(), POLLIN, 0}, {complaint.read_end(), POLLIN, 0}}};
    if (::poll(both.data(), both.size(), look_ms) < 0 && errno != EINTR) return std::strerror(errno);
    bool too_much = false, enough = false;
    if (both[0].revents != 0 && !drain(output.read_end(), end.output, call.output_bytes_max, too_much))
      output.close_read();
    if (both[1].revents != 0 && !drain(complaint.read_end(), end.complaint, complaint_bytes_max, enough))
      complaint.close_read();
    if (too_much) return "it writes more than " + std::to_string(call.output_bytes_max) + " bytes";
  }
  return "";
}

// How it ended, waiting for it; one that does not end although its streams have is ended.
std::string wait_for(pid_t pid, bool given_up) {
  constexpr int patience = 200;  // looks of 5 ms
  int status = 0;
  for (int looks = 0;; ++looks) {
    if (looks == patience || given_up) ::kill(-pid, SIGKILL);
    const auto ended = ::waitpid(pid, &status, given_up || looks >= patience ? 0 : WNOHANG);
    if (ended == pid) break;
    if (ended < 0 && errno != EINTR) return std::strerror(errno);
    if (ended == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  if (WIFEXITED(status)) return "it ended with " + std::to_string(WEXITSTATUS(status));
  return "it was ended by signal " + std::to_string(WTERMSIG(status));
}

}  // namespace

ProgramEnd run_program(const ProgramCall& call, const std::atomic<bool>& cancelled) {
  ProgramEnd end;
  Pipe output, complaint;
  if (!output.is_open() || !complaint.is_open()) {
    end.error = std::string("no pipe: ") + std::strerror(errno);
    return end;
  }
  pid_t pid = 0;
  if (const int error = spawn(call, output, complaint, pid); error != 0) {
    end.error = std::strerror(error);
    return end;
  }
  output.close_write();
  complaint.close_write();
  end.error = listen(call, output, complaint, cancelled, end);
  const auto how = wait_for(pid, !end.error.empty());
  if (end.error.empty()) end.error = how;
  end.ok = end.error.empty();
  return end;
}

}  // namespace turnout::control
