// A client and a server that say anything while somebody logs in. First byte: which role, which secret, TLS or not.
#include "fuzz.h"
#include "protocol/mysql/login.h"

namespace turnout::fuzz {
namespace {

using namespace protocol::mysql;
using Status = LoginStep::Status;

constexpr std::string_view password = "a password that nobody guesses";

// The next message: a byte of length, then so much of what is there.
Bytes take_payload(Bytes& input) {
  const std::size_t size = std::min<std::size_t>(input.size(), take_byte(input));
  const Bytes payload = input.first(std::min(size, input.size()));
  input = input.subspan(payload.size());
  return payload;
}

void run_client(unsigned flags, Bytes input) {
  ClientLogin::Input in;
  in.offered = offer(~Capabilities{0} & ~mariadb_mask, std::nullopt, (flags & 2U) != 0);
  in.is_private = (flags & 4U) != 0;
  in.learns_passwords = (flags & 8U) != 0;
  ClientLogin login(in);
  LoginStep step = login.start();
  for (std::uint8_t number = 1; !input.empty(); ++number) {
    const bool was_failed = step.status == Status::failed;
    step = login.on_message(login.next_number(), take_payload(input));
    if (step.status == Status::user) {
      // One that is remembered is shown as a known one is, where there is no way for a whole password.
      const bool has_no_way = (flags & 6U) == 0;
      const auto kind = has_no_way && (flags & 32U) != 0 ? Secret::Kind::unproven : Secret::Kind::plain;
      step = login.answer_for((flags & 16U) != 0 ? std::optional(Secret{kind, password}) : std::nullopt);
    }
    must(step.status != Status::done, "nobody gets in without the secret");
    must(!was_failed || step.status == Status::failed, "a failed login stays failed");
    must(!login.learned(), "nothing is learned from a failed login");
    if (step.status == Status::failed)
      must(step.sqlstate.size() == 5 && step.error_number != 0, "a failure has a number");
    if (step.status == Status::failed) return;
  }
}

void run_server(unsigned flags, Bytes input) {
  ServerLogin::Input in;
  in.user = "ann";
  in.secret = {Secret::Kind::plain, std::string(password)};
  in.tls = static_cast<ServerLogin::Tls>(flags >> 1U & 1U);
  in.may_fetch_key = (flags & 4U) != 0;
  ServerLogin login(in);
  bool has_tls = false;
  std::size_t said = 0;
  for (std::uint8_t number = 0; !input.empty(); ++number) {
    LoginStep step = login.on_message(take_byte(input), take_payload(input));
    if (step.status == Status::start_tls) {
      has_tls = true;
      step = login.tls_started();
    }
    said += step.send.size();
    must(has_tls || step.send.find(password) == std::string::npos, "no password in clear");
    must(said < 8192, "what a server can make us say has its bound");
    if (step.status == Status::failed || step.status == Status::done) return;
  }
}

}  // namespace
}  // namespace turnout::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace turnout::fuzz;
  Bytes input{data, size};
  const unsigned flags = take_byte(input);
  if ((flags & 1U) != 0)
    run_client(flags, input);
  else
    run_server(flags, input);
  return 0;
}
