#include "proxy/access.h"

#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

class Reading {
 public:
  Reading(const conf::Deployment& conf, Access& access) : conf_(conf), access_(access) {}

  void users() {
    auto text = content(conf_.users_file, "users", "name a file in PgBouncer's userlist format");
    if (!text) return;
    if (conf_.protocol == conf::Protocol::mysql) {
      protocol::mysql::Users list = protocol::mysql::parse_users(*text);
      for (auto& entry : list.users) access_.mysql_users[entry.name] = std::move(entry.secret);
      note(conf_.users_file, list.mistakes);
      protocol::wipe(*text);
      return;
    }
    pg::Userlist list = pg::parse_userlist(*text);
    protocol::wipe(*text);
    for (pg::UserEntry& entry : list.users) access_.users[entry.name] = std::move(entry.secret);
    note(conf_.users_file, list.mistakes);
  }

  void rules() {
    const auto text = content(conf_.hba_file, "auth", "name a file in the form of pg_hba.conf");
    if (!text) return;
    pg::HbaFile file = pg::parse_hba(*text);
    note(conf_.hba_file, file.mistakes);
    const bool can_verify = conf_.client_tls.mode != conf::TlsMode::disable && !conf_.client_tls.ca_file.empty();
    for (const pg::HbaRule& rule : file.rules) {
      if (rule.certificate == pg::ClientCertificate::not_asked || can_verify) continue;
      access_.mistakes.push_back({conf_.hba_file,
                                  rule.line,
                                  1,
                                  {},
                                  "asks for a client's certificate, but client_tls.ca_file does not say whose count"});
    }
    access_.rules = std::move(file.rules);
  }

 private:
  std::optional<std::string> content(const std::string& file, const std::string& key, const std::string& todo) {
    if (file.empty()) return std::nullopt;
    std::ifstream in(file, std::ios::binary);
    if (in) return std::string{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    access_.mistakes.push_back({file, 0, 0, "deployments." + conf_.name + "." + key, "cannot be read; " + todo});
    return std::nullopt;
  }

  // The pure readers say "line:column: text".
  void note(const std::string& file, const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      conf::Mistake mistake{file, 0, 0, {}, text};
      const char* const end = text.data() + text.size();
      const auto line = std::from_chars(text.data(), end, mistake.line);
      const auto column = std::from_chars(line.ptr == end ? end : line.ptr + 1, end, mistake.column);
      mistake.text = text.substr(text.find(": ") + 2);
      if (line.ec != std::errc{} || column.ec != std::errc{}) mistake = {file, 0, 0, {}, text};
      access_.mistakes.push_back(std::move(mistake));
    }
  }

  const conf::Deployment& conf_;
  Access& access_;
};

}  // namespace

Access read_access(const conf::Deployment& conf) {
  Access access;
  Reading reading(conf, access);
  reading.users();
  reading.rules();
  return access;
}

}  // namespace turnout::proxy
