// Any bytes as rows and definitions of a MySQL server's answer, in pieces: nothing is read past its end, and what is
// kept is bounded. First byte: limits and form. Then packets: what it is, how long, where it is cut, its bytes.
#include <array>

#include "fuzz.h"
#include "router/mysql_answer.h"
#include "router/mysql_facts.h"
#include "router/shadow_match.h"
#include "router/shadow_rows.h"

namespace turnout::fuzz {
namespace {

using namespace router;
namespace my = protocol::mysql;

void give(MysqlAnswerReader& reader, const my::Exchange::Received& received, Bytes payload, std::size_t cut) {
  my::Header header;
  header.payload = static_cast<std::uint32_t>(payload.size());
  reader.take(received, header, payload.first(cut));
  reader.take_more(payload.subspan(cut));
}

void run(Bytes input) {
  static_cast<void>(mysql_shadow_facts(protocol::text(input)));
  const unsigned flags = take_byte(input);
  const MysqlAnswerReader::Limits limits{(flags & 1U) != 0 ? 64U : 1U << 20, (flags & 2U) != 0 ? 128U : 0U};
  const bool is_binary = (flags & 4U) != 0;
  MysqlAnswerReader whole(ShapeHash(1), limits, is_binary), cut(ShapeHash(1), limits, is_binary);
  for (MysqlAnswerReader* reader : {&whole, &cut}) reader->begin(my::capability::deprecate_eof);
  constexpr std::array<my::Exchange::Kind, 6> kinds = {my::Exchange::Kind::columns, my::Exchange::Kind::column,
                                                       my::Exchange::Kind::row,     my::Exchange::Kind::row,
                                                       my::Exchange::Kind::end,     my::Exchange::Kind::error};
  while (!input.empty()) {
    my::Exchange::Received received;
    received.kind = kinds[take_byte(input) % kinds.size()];
    const Bytes payload = input.first(std::min<std::size_t>(take_byte(input), input.size()));
    input = input.subspan(payload.size());
    const std::size_t at = std::min<std::size_t>(take_byte(input), payload.size());
    const bool may_be_cut = received.kind == my::Exchange::Kind::column || received.kind == my::Exchange::Kind::row;
    give(whole, received, payload, payload.size());
    give(cut, received, payload, may_be_cut ? at : payload.size());
  }
  must(whole.digest().rows == cut.digest().rows && whole.digest().gap == cut.digest().gap && whole.kept() == cut.kept(),
       "where it is cut decides nothing");
  must(whole.kept().size() <= limits.kept_bytes_max, "what is kept is bounded");
  const KeptAnswer kept{whole.digest(), whole.columns(), whole.kept(), whole.keeps_rows()};
  static_cast<void>(explain_difference(kept, kept, ShadowMatch::rows, {}));
}

}  // namespace
}  // namespace turnout::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  turnout::fuzz::run({data, size});
  return 0;
}
