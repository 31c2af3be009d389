// Any bytes as a startup packet, as options, as an error, as a stream of frames.
#include "fuzz.h"
#include "protocol/pg/startup_options.h"
#include "protocol/pg/wire.h"

namespace turnout::fuzz {
namespace {

using namespace protocol::pg;

constexpr std::uint32_t bytes_max = 10'000;

void run_startup(Bytes input) {
  const StartupPacket packet = parse_startup(input, bytes_max);
  must(packet.consumed <= input.size() && packet.consumed <= bytes_max, "no more consumed than there is");
  if (packet.kind == StartupPacket::Kind::incomplete) {
    must(packet.consumed == 0, "nothing of an incomplete packet is consumed");
    return;
  }
  if (packet.kind != StartupPacket::Kind::startup) return;
  std::string body;
  Writer writer(body);
  writer.u32(packet.version);
  for (const auto& [name, value] : packet.parameters) {
    must(!name.empty(), "an empty name ends the list");
    writer.cstring(name).cstring(value);
    if (name == "options") static_cast<void>(parse_options(value));
  }
  writer.u8(0);
  must(body == text(input.subspan(4, packet.consumed - 4)), "what was read can be written again");
  // One byte less has arrived: never the same answer.
  must(parse_startup(input.first(packet.consumed - 1), bytes_max).kind == StartupPacket::Kind::incomplete,
       "a packet cut short is incomplete");
}

void run_frames(Bytes input) {
  Header header;
  while (read_header(input, bytes_max, header) == Framing::complete) {
    must(header.body <= bytes_max - 4, "bodies have their bound");
    if (header.total() > input.size()) break;
    const Bytes body = input.subspan(header_bytes, header.body);
    if (header.type == 'E' || header.type == 'N') {
      const ErrorFields fields = parse_error(body);
      must(fields.message.size() + fields.detail.size() + fields.hint.size() <= body.size(),
           "fields come from the body");
      std::string out;
      put_error(out, fields);
      const ErrorFields again = parse_error(bytes_of(out).subspan(header_bytes));
      must(again.message == fields.message && again.sqlstate == fields.sqlstate, "an error survives being written");
    }
    input = input.subspan(header.total());
  }
}

}  // namespace
}  // namespace turnout::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  turnout::fuzz::run_startup({data, size});
  turnout::fuzz::run_frames({data, size});
  static_cast<void>(turnout::protocol::pg::parse_options(turnout::protocol::pg::text({data, size})));
  return 0;
}
