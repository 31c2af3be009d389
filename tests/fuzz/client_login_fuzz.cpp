// A client that says anything while it logs in. First byte: method, secret, TLS. Then frames.
#include "fuzz.h"
#include "protocol/pg/login.h"
#include "protocol/pg/scram.h"

namespace turnout::fuzz {
namespace {

using namespace protocol::pg;

// A verifier whose keys nobody knows: to derive one from a password in each run would only cost time.
Secret secret_of(unsigned choice) {
  Secret secret;
  switch (choice) {
    case 0:
      secret.kind = Secret::Kind::scram_verifier;
      secret.text = build_verifier(mock_verifier("ann", "another key"));
      break;
    case 1:
      secret.kind = Secret::Kind::md5;
      secret.text = "md50123456789abcdef0123456789abcdef";
      break;
    case 2:
      secret.kind = Secret::Kind::scram_keys;
      break;
    default:
      break;
  }
  return secret;
}

void run(Bytes input) {
  const unsigned flags = take_byte(input);
  ClientLogin::Input in;
  in.method = (flags & 1U) != 0 ? ClientMethod::md5 : ClientMethod::scram_sha_256;
  in.user = "ann";
  if ((flags & 2U) != 0) in.secret = secret_of((flags >> 2U) & 3U);
  in.mock_key = "key";
  if ((flags & 16U) != 0) in.channel_binding_data = "certificate hash";
  ClientLogin login(in);
  LoginStep step = login.start();
  must(step.status == LoginStep::Status::more, "a login begins with a question");
  char type = 0;
  Bytes body;
  while (take_message(input, type, body)) {
    const bool was_failed = step.status == LoginStep::Status::failed;
    step = login.on_message(type, body);
    must(step.status != LoginStep::Status::done, "nobody gets in without the secret");
    must(!was_failed || step.status == LoginStep::Status::failed, "a failed login stays failed");
    must(!login.learned(), "nothing is learned from a failed login");
    if (step.status == LoginStep::Status::failed) {
      must(step.sqlstate.size() == 5 && !step.message.empty() && step.send.empty(), "a failure says what it is");
    }
  }
}

}  // namespace
}  // namespace turnout::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  turnout::fuzz::run({data, size});
  return 0;
}
