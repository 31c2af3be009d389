// Any bytes as the values of a row, as a description, as texts, under a map of two sides: nothing but what was given is
// touched, and pieces give what the whole gives.
#include "fuzz.h"
#include "protocol/pg/type_values.h"

namespace turnout::fuzz {
namespace {

using namespace protocol::pg;

// Small numbers, so that the fuzzer finds them; both sides' are above the system's own.
TypeMapPtr make_map() {
  const auto side = [](Oid by) {
    const Oid first = first_user_oid + by;
    return ObjectOids{{{"mood", first, TypeKind::plain, 0},
                       {"mood[]", first + 1, TypeKind::array, first},
                       {"pair", first + 2, TypeKind::composite, 0},
                       {"pair[]", first + 3, TypeKind::array, first + 2},
                       {"span", first + 4, TypeKind::range, first + 2},
                       {"spans", first + 5, TypeKind::multirange, first + 4}},
                      {}};
  };
  return make_type_map(side(0), side(3));
}

template <typename Walk>
std::string in_pieces(Walk walk, std::string bytes, std::size_t piece) {
  std::size_t at = 0;
  for (std::size_t end = 0; end < bytes.size();) {
    end = std::min(bytes.size(), end + piece);
    const MutableBytes given(reinterpret_cast<std::uint8_t*>(bytes.data()) + at, end - at);
    const std::size_t used = walk.feed(given);
    must(used <= given.size(), "no more is used than was given");
    must(given.size() - used <= 18, "little is left to be given again");
    at += used;
  }
  return bytes;
}

void run(Bytes input) {
  static const TypeMapPtr map = make_map();
  ValuePlans plans(take_byte(input) % 8);
  for (ValuePlan& plan : plans) {
    const std::uint8_t byte = take_byte(input);
    plan = {static_cast<Handling>(byte % 5), first_user_oid + 3u + byte / 5 % 8};
  }
  const std::size_t piece = 1 + take_byte(input) % 40;
  const std::string bytes(text(input));
  const std::string whole = in_pieces(ValuesWalk(map->to_native, plans), bytes, bytes.size() + 1);
  must(whole == in_pieces(ValuesWalk(map->to_native, plans), bytes, piece), "pieces give what the whole gives");
  const std::string columns = in_pieces(ColumnsWalk(map->to_native), bytes, bytes.size() + 1);
  must(columns == in_pieces(ColumnsWalk(map->to_native), bytes, piece), "the same of columns");
  std::string list = bytes;
  translate_types(map->to_server, MutableBytes(reinterpret_cast<std::uint8_t*>(list.data()), list.size()));
  must(read_types(bytes_of(list)).size() == read_types(input).size(), "a list keeps its length");
  std::string copied;
  copy_text_numbers(copied, input, map->to_native, plans);
  if (!has_text_numbers(plans)) must(copied == bytes, "without numbers in text it is a copy");
  std::size_t used = 0;
  if (read_formats(input, used)) must(used <= input.size(), "formats are there");
  static_cast<void>(translate_text(text(input), map->to_native));
  static_cast<void>(catalog_use(text(input)));
  static_cast<void>(translate_literals(text(input), map->to_server));
}

}  // namespace
}  // namespace turnout::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  turnout::fuzz::run({data, size});
  return 0;
}
