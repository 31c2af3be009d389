// Any bytes as a server's answer: wherever they are cut, what is remembered of them is the same, and what is kept is
// bounded. First byte: limits. Second: where it is cut.
#include "fuzz.h"
#include "router/shadow_answer.h"
#include "router/shadow_match.h"
#include "router/shadow_rows.h"

namespace turnout::fuzz {
namespace {

using namespace router;

bool is_same(const AnswerDigest& a, const AnswerDigest& b) {
  return a.rows == b.rows && a.bytes == b.bytes && a.results == b.results && a.in_order == b.in_order &&
         a.any_order == b.any_order && a.columns == b.columns && a.sqlstate == b.sqlstate && a.gap == b.gap;
}

void run(Bytes input) {
  const unsigned flags = take_byte(input);
  const std::size_t cut = std::min<std::size_t>(take_byte(input), input.size());
  const AnswerReader::Limits limits{(flags & 1U) != 0 ? 64U : 1U << 20, (flags & 2U) != 0 ? 128U : 0U};
  const std::size_t skips = (flags >> 2U) & 3U;
  AnswerReader whole(ShapeHash(1), limits), in_two(ShapeHash(1), limits), by_byte(ShapeHash(1), limits);
  for (AnswerReader* reader : {&whole, &in_two, &by_byte}) reader->skip(skips);
  whole.feed(input);
  in_two.feed(input.first(cut));
  in_two.feed(input.subspan(cut));
  for (const std::uint8_t& byte : input) by_byte.feed({&byte, 1});
  for (const AnswerReader* reader : {&in_two, &by_byte}) {
    must(reader->is_over() == whole.is_over(), "where it is cut decides nothing");
    must(is_same(reader->digest(), whole.digest()), "the same bytes, the same digest");
    must(reader->kept() == whole.kept(), "the same bytes are kept");
  }
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
