#include "control/own_sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>
#include <filesystem>

namespace turnout::control {

OwnSockets OwnSockets::look() {
  OwnSockets found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
    const auto name = entry.path().filename().string();
    int handle = -1;
    std::from_chars(name.data(), name.data() + name.size(), handle);
    sockaddr_storage local{};
    socklen_t size = sizeof local;
    if (handle < 0 || getsockname(handle, reinterpret_cast<sockaddr*>(&local), &size) != 0) continue;
    char text[INET6_ADDRSTRLEN] = {};
    if (local.ss_family == AF_INET) {
      sockaddr_in four{};
      std::memcpy(&four, &local, sizeof four);
      inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
      found.ends_.emplace(text, ntohs(four.sin_port));
    } else if (local.ss_family == AF_INET6) {
      sockaddr_in6 six{};
      std::memcpy(&six, &local, sizeof six);
      inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
      found.ends_.emplace(text, ntohs(six.sin6_port));
    }
  }
  return found;
}

}  // namespace turnout::control
