// Any bytes as a userlist: entries are sane, and what was read can be written and read again.
#include "fuzz.h"
#include "protocol/pg/login.h"

namespace turnout::fuzz {
namespace {

std::string quoted(std::string_view value) {
  std::string out = "\"";
  for (const char c : value) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

void run(std::string_view input) {
  const protocol::pg::Userlist list = protocol::pg::parse_userlist(input);
  must(list.mistakes.size() <= 51, "mistakes are bounded");
  std::string again;
  for (const auto& user : list.users) {
    must(!user.name.empty() && user.name.size() <= 255, "user name has its bounds");
    must(user.secret.text.empty() == (user.secret.kind == protocol::pg::Secret::Kind::none), "empty secret is none");
    again += quoted(user.name) + ' ' + quoted(user.secret.text) + '\n';
  }
  const protocol::pg::Userlist second = protocol::pg::parse_userlist(again);
  must(second.mistakes.empty() && second.users.size() == list.users.size(), "written list reads without mistakes");
  for (std::size_t i = 0; i < list.users.size(); ++i) {
    must(second.users[i].name == list.users[i].name, "same names");
    must(second.users[i].secret.text == list.users[i].secret.text, "same secrets");
    must(second.users[i].secret.kind == list.users[i].secret.kind, "same kinds");
  }
}

}  // namespace
}  // namespace turnout::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  turnout::fuzz::run(turnout::protocol::pg::text({data, size}));
  return 0;
}
