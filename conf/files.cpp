#include "conf/files.h"

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace turnout::conf {
namespace {

namespace fs = std::filesystem;

std::string open_error() {
  return std::error_code(errno, std::generic_category()).message();
}

// Opened, not just looked at: permissions decide who may read, and only opening asks them.
bool check_readable(const std::string& file, const std::string& key, Walker& walker) {
  std::error_code code;
  if (fs::is_directory(file, code)) {
    walker.add_at_key(key, file + " is a directory; name a file");
    return false;
  }
  errno = 0;
  const std::ifstream stream(file, std::ios::binary);
  if (stream) return true;
  walker.add_at_key(key, "cannot read " + file + ": " + open_error());
  return false;
}

void check_optional(const std::string& file, const std::string& key, Walker& walker) {
  if (!file.empty()) static_cast<void>(check_readable(file, key, walker));
}

// One secret: the file's first and only line, without its end. Blanks inside a password are the password's own.
std::string read_secret(const std::string& file, const std::string& key, Walker& walker) {
  if (file.empty() || !check_readable(file, key, walker)) return {};
  std::ifstream stream(file, std::ios::binary);
  std::string text(secret_bytes_max + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > secret_bytes_max) {
    walker.add_at_key(key, file + " is longer than 4096 bytes; it must hold nothing but the secret");
    return {};
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.empty()) {
    walker.add_at_key(key, file + " is empty; write the secret into it");
  } else if (text.find_first_of(std::string_view("\n\0", 2)) != std::string::npos) {
    walker.add_at_key(key, file + " has several lines; it must hold nothing but the secret");
    return {};
  }
  return text;
}

void check_tls_files(const Tls& tls, const std::string& path, Walker& walker) {
  check_optional(tls.certificate_file, path + ".cert_file", walker);
  check_optional(tls.key_file, path + ".key_file", walker);
  check_optional(tls.ca_file, path + ".ca_file", walker);
}

void read_deployment_files(Deployment& deployment, Walker& walker) {
  const std::string path = "deployments." + deployment.name;
  deployment.admin.password = read_secret(deployment.admin.password_file, path + ".admin.password_file", walker);
  auto& login = deployment.replication.login;
  if (walker.was_written(path + ".replication.password_file")) {
    login.password = read_secret(login.password_file, path + ".replication.password_file", walker);
  } else if (login.user == deployment.admin.user) {
    login.password = deployment.admin.password;
  }
  check_optional(deployment.users_file, path + ".users", walker);
  auto& asking = deployment.auth_query.login;
  if (walker.was_written(path + ".users.password_file"))
    asking.password = read_secret(asking.password_file, path + ".users.password_file", walker);
  else if (asking.user == deployment.admin.user)
    asking.password = deployment.admin.password;
  check_optional(deployment.hba_file, path + ".auth", walker);
  check_tls_files(deployment.client_tls, path + ".client_tls", walker);
  check_tls_files(deployment.server_tls, path + ".server_tls", walker);
}

void check_state_dir(const Control& control, Walker& walker) {
  std::error_code code;
  // Created at start when absent; a file in its place would only fail later, in the middle of something.
  if (fs::exists(control.state_dir, code) && !fs::is_directory(control.state_dir, code)) {
    walker.add_at_key("control.state_dir", control.state_dir + " is not a directory");
  }
}

}  // namespace

void read_files(Config& config, Walker& walker) {
  for (auto& deployment : config.deployments) read_deployment_files(deployment, walker);
  auto token = read_secret(config.control.token_file, "control.token_file", walker);
  const auto end = token.find_last_not_of(" \t");
  token.resize(end == std::string::npos ? 0 : end + 1);
  if (token.find_first_of(" \t") != std::string::npos) {
    walker.add_at_key("control.token_file", "the token in " + config.control.token_file + " has blanks in it");
  }
  config.control.token = std::move(token);
  check_state_dir(config.control, walker);
}

}  // namespace turnout::conf
