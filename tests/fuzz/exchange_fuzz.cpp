// Any order of requests and replies: the ledger of owed replies keeps what its header promises.
#include "fuzz.h"
#include "protocol/pg/exchange.h"

namespace turnout::fuzz {
namespace {

using namespace protocol::pg;

void check(Exchange& exchange) {
  Exchange::Entry entry{};
  while (exchange.next_fabricated(entry))
    must(entry.owner == Owner::fabricated, "only fabricated replies are fabricated");
  if (exchange.is_safe_point()) {
    must(exchange.owed() == 0, "nothing is owed at a safe point");
    must(!exchange.in_transaction() && !exchange.in_copy(), "a safe point is outside of transactions and COPY");
  }
  if (exchange.owed() == 0) must(exchange.is_simple_only(), "nothing owed, nothing to swallow or fabricate");
  if (exchange.is_idle()) must(exchange.owed() == 0, "idle owes nothing");
  for (const Exchange::Entry& dropped : exchange.take_dropped()) {
    must(dropped.request == Request::parse || dropped.request == Request::close, "only statements are reported");
  }
  must(!exchange.has_dropped(), "taken is taken");
}

void run(Bytes input) {
  Exchange exchange;
  while (!input.empty()) {
    const std::uint8_t what = take_byte(input);
    const std::size_t owed = exchange.owed();
    if (what < 0x80) {
      const auto request = static_cast<Request>(what & 7U);
      const auto owner = static_cast<Owner>(std::min<unsigned>((what >> 3U) & 3U, 2));
      exchange.sent(request, owner, what);
      must(exchange.owed() <= owed + 1, "a request owes one reply");
    } else if (what == 0xff) {
      exchange.sent_copy_end();
    } else {
      // The types a server sends, and a few that it does not.
      constexpr std::string_view types = "123ACDEEGHINSTVWZZZZcdnstRKvQ?";
      const char type = types[what % types.size()];
      const std::uint8_t first =
          type == 'Z' ? static_cast<std::uint8_t>("ITEx"[take_byte(input) & 3U]) : take_byte(input);
      const bool was_ready = exchange.owed() > 0;
      const Exchange::Received received = exchange.received(type, first);
      must(exchange.owed() <= owed, "a reply never owes more");
      must(!received.completed || exchange.owed() < owed, "a completed request is no longer owed");
      must(!received.ready || type == 'Z', "only ReadyForQuery is ready");
      if (type == 'Z' && !was_ready) {
        must(received.action == Exchange::Action::protocol_error, "a ReadyForQuery that nobody asked for is an error");
      }
      if (received.action == Exchange::Action::protocol_error) return;  // the connection is closed
    }
    check(exchange);
  }
}

}  // namespace
}  // namespace turnout::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  turnout::fuzz::run({data, size});
  return 0;
}
