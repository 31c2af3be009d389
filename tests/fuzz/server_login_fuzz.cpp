// A server that says anything while we log in to it. First byte: secret, TLS, protocol version. Then frames.
#include "fuzz.h"
#include "protocol/pg/login.h"

namespace turnout::fuzz {
namespace {

using namespace protocol::pg;

void run(Bytes input) {
  const unsigned flags = take_byte(input);
  ServerLogin::Input in;
  in.user = "ann";
  in.secret.kind = static_cast<Secret::Kind>(flags & 7U) > Secret::Kind::scram_keys
                       ? Secret::Kind::plain
                       : static_cast<Secret::Kind>(flags & 7U);
  in.secret.text = in.secret.kind == Secret::Kind::md5 ? "md50123456789abcdef0123456789abcdef" : "secret";
  if ((flags & 8U) != 0) in.channel_binding_data = "certificate hash";
  in.require_channel_binding = (flags & 16U) != 0;
  in.protocol_version = (flags & 32U) != 0 ? 196610 : protocol_3_0;
  in.scram_iterations_max = 64;  // the bound is what is tried here, not the arithmetic
  ServerLogin login(in);
  bool is_scram = false;
  LoginStep step;
  char type = 0;
  Bytes body;
  while (take_message(input, type, body)) {
    const bool was_over = step.status != LoginStep::Status::more;
    step = login.on_message(type, body);
    is_scram = is_scram || step.send.find("SCRAM-SHA-256") != std::string::npos;
    must(!was_over || step.status == LoginStep::Status::failed, "nothing goes on after the end");
    if (step.status == LoginStep::Status::done) {
      must(!is_scram, "no server passes SCRAM without the secret");
      must(!in.require_channel_binding, "no login without the channel binding that is required");
    }
    if (step.status == LoginStep::Status::failed) {
      must(step.sqlstate.size() == 5 && !step.message.empty() && step.send.empty(), "a failure says what it is");
    }
    must(login.parameters().size() <= 256 && login.cancel_key().size() <= 256, "memory is bounded");
  }
}

}  // namespace
}  // namespace turnout::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  turnout::fuzz::run({data, size});
  return 0;
}
