#include "proxy/mysql/login_trial.h"

#include "proxy/mysql/server_connection.h"
#include "proxy/trial_line.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

namespace {

std::string said(const my::LoginStep& step) {
  const std::string number = step.error_number != 0 ? std::to_string(step.error_number) + " " : "";
  return number + "(" + step.sqlstate + "): " + step.message;
}

// What the conversation wants next; "" and `is_done`, or why it ended.
std::string follow(TrialLine& line, my::ServerLogin& login, const my::LoginStep& step, bool& is_done) {
  if (std::string trouble = line.send(step.send); !trouble.empty()) return trouble;
  switch (step.status) {
    case my::LoginStep::Status::more:
      return {};
    case my::LoginStep::Status::start_tls:
      if (std::string trouble = line.begin_tls(); !trouble.empty()) return trouble;
      return follow(line, login, login.tls_started(), is_done);
    case my::LoginStep::Status::done:
      is_done = true;
      return {};
    case my::LoginStep::Status::failed:
    case my::LoginStep::Status::user:
      break;
  }
  return said(step);
}

}  // namespace

std::string login_trial(const Shared& shared, const Settings& settings, router::Side side, const conf::Address& address,
                        const std::string& database, const std::string& user) {
  TrialLine line(settings, side, address);
  if (std::string trouble = line.connect(); !trouble.empty()) return trouble;
  my::ServerLogin::Input wanted = login_input(user, database, 0);
  set_way(wanted, settings, address);
  wanted.secret = shared.server_secret(user, settings.mysql_users, settings.conf.admin);
  my::ServerLogin login(std::move(wanted));
  std::string input, trouble;
  for (bool is_done = false; !is_done;) {
    my::Header header;
    if (!my::read_header(my::bytes_of(input), header) || input.size() < header.total()) {
      if (header.payload > my::login_bytes_max) return "the server sent a message that is too long during login";
      if (trouble = line.read_more(input); !trouble.empty()) return trouble;
      continue;
    }
    const std::string packet = input.substr(0, header.total());
    input.erase(0, header.total());
    my::LoginStep step = login.on_message(header.number, my::bytes_of(packet).subspan(my::header_bytes));
    trouble = follow(line, login, step, is_done);
    my::wipe(step.send);  // perhaps the password
    if (!trouble.empty()) return trouble;
  }
  std::string quit, payload;
  my::put_command(payload, my::Command::quit);
  my::put_message(quit, 0, payload);
  return line.send(quit);
}

}  // namespace turnout::proxy::mysql
