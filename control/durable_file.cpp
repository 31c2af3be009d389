#include "control/durable_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace turnout::control {

namespace {

std::string errno_text(const std::filesystem::path& file) {
  return file.string() + ": " + std::strerror(errno);
}

bool write_all(int file, std::string_view content) {
  while (!content.empty()) {
    const auto put = ::write(file, content.data(), content.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    content.remove_prefix(static_cast<std::size_t>(put));
  }
  return true;
}

bool sync_directory(const std::filesystem::path& directory) {
  const int handle = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle < 0) return false;
  const bool synced = ::fsync(handle) == 0;
  ::close(handle);
  return synced;
}

}  // namespace

std::string content_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::stringstream content;
  content << in.rdbuf();
  return content.str();
}

std::string write_durably(const std::filesystem::path& file, std::string_view content) {
  const std::filesystem::path fresh = file.string() + ".new";
  const int handle = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (handle < 0) return errno_text(fresh);
  const bool written = write_all(handle, content) && ::fsync(handle) == 0;
  const std::string error = written ? "" : errno_text(fresh);
  ::close(handle);
  if (!written) return error;
  if (::rename(fresh.c_str(), file.c_str()) != 0 || !sync_directory(file.parent_path())) return errno_text(file);
  return "";
}

}  // namespace turnout::control
