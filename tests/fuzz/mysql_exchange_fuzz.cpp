// Any order of commands and packets: what is owed stays true, and a client of the other form can follow the
// translation.
#include "fuzz.h"
#include "protocol/mysql/exchange.h"
#include "protocol/mysql/translation.h"

namespace turnout::fuzz {
namespace {

using namespace protocol::mysql;
using protocol::bytes_of;

constexpr Command commands[] = {Command::query,
                                Command::statement_prepare,
                                Command::statement_execute,
                                Command::statement_fetch,
                                Command::statement_send_long_data,
                                Command::statement_close,
                                Command::field_list,
                                Command::ping,
                                Command::statistics,
                                Command::set_option,
                                Command::reset_connection,
                                Command::change_user};

void check(Exchange& exchange) {
  Exchange::Entry entry;
  while (exchange.next_fabricated(entry))
    must(entry.owner == Owner::fabricated, "only fabricated answers are fabricated");
  if (exchange.is_safe_point()) {
    must(exchange.owed() == 0 && !exchange.in_transaction(),
         "nothing is owed, and no transaction open, at a safe point");
    must(exchange.is_status_known() && !exchange.has_statement_state(), "a safe point leaves nothing behind");
  }
  if (exchange.owed() == 0) must(exchange.is_client_only(), "nothing owed, nothing to swallow");
}

// What the client gets must be an answer again.
void follow(Exchange& client, std::string_view stream) {
  while (!stream.empty()) {
    Header header;
    must(read_header(bytes_of(stream), header) && header.total() <= stream.size(), "whole packets are written");
    const auto received = client.received(header, bytes_of(stream).subspan(header_bytes, header.payload));
    must(received.action == Exchange::Action::forward, "the client can follow");
    stream.remove_prefix(header.total());
  }
}

void run(Bytes input) {
  const std::uint8_t flags = take_byte(input);
  const Capabilities server = (flags & 1U ? capability::deprecate_eof : 0) |
                              (flags & 2U ? capability::session_track : 0) |
                              (flags & 4U ? capability::optional_metadata : 0);
  const Capabilities client = (flags & 8U ? capability::deprecate_eof : 0) | (server & capability::session_track) |
                              (server & capability::optional_metadata);
  Exchange exchange;
  exchange.begin(server, status::autocommit);
  Exchange mirror;
  mirror.begin(client, status::autocommit);
  Translation translation(server, client);
  std::uint8_t number = 1;
  while (!input.empty()) {
    const std::uint8_t what = take_byte(input);
    const std::size_t owed = exchange.owed();
    if (what < 0x40) {
      Exchange::Entry entry;
      entry.command = commands[what % std::size(commands)];
      entry.opens_cursor = entry.command == Command::statement_execute && (what & 0x20U) != 0;
      entry.statement = what & 3U;
      if (owed != 0) {
        // Several at once are checked without a client: it would have to wait for its turn.
        continue;
      }
      exchange.sent(entry);
      mirror.sent(entry);
      translation.begin(1, exchange.status());
      number = 1;
      check(exchange);
      continue;
    }
    const std::size_t size = std::min<std::size_t>(input.size(), what & 0x1fU);
    const Bytes payload = input.first(size);
    input = input.subspan(size);
    const Header header{static_cast<std::uint32_t>(size), number++};
    const auto received = exchange.received(header, payload);
    must(exchange.owed() <= owed, "an answer never owes more");
    must(!received.completed || exchange.owed() + 1 == owed, "one command is completed at once");
    if (received.action == Exchange::Action::protocol_error || received.unasked) return;  // the connection is closed
    std::string out;
    if (translation.pass(received, payload, out) == Translation::Pass::as_is) {
      put_message(out, translation.number(), text(payload));
      translation.passed(out);
    }
    follow(mirror, out);
    if (received.kind == Exchange::Kind::infile) {
      exchange.infile_sent(number++);
      mirror.infile_sent(translation.number());
      translation.begin(static_cast<std::uint8_t>(translation.number() + 1), exchange.status());
    }
    // Without the EOFs of a preparation its client has all of it before the server is done.
    must(mirror.owed() <= exchange.owed(), "the client waits for nothing that does not come");
    const bool is_shorter = received.entry.command == Command::statement_prepare;
    must(is_shorter || mirror.owed() == exchange.owed(), "both have the same end");
    check(exchange);
  }
}

}  // namespace
}  // namespace turnout::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  turnout::fuzz::run({data, size});
  return 0;
}
