// What the fuzz targets share. A property that does not hold aborts: libFuzzer then keeps the input and says how to
// repeat it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "protocol/pg/wire.h"

namespace turnout::fuzz {

inline void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "property broken: %s\n", what);
  std::abort();
}

using protocol::pg::Bytes;

inline std::uint8_t take_byte(Bytes& input) {
  if (input.empty()) return 0;
  const std::uint8_t byte = input.front();
  input = input.subspan(1);
  return byte;
}

// The next message of a stream of frames; a length that is not there is cut to what is, so that every input says
// something. False at the end.
inline bool take_message(Bytes& input, char& type, Bytes& body) {
  if (input.size() < protocol::pg::header_bytes) return false;
  type = static_cast<char>(input.front());
  const std::uint32_t length = protocol::pg::load_u32(input.data() + 1);
  input = input.subspan(protocol::pg::header_bytes);
  body = input.first(std::min<std::size_t>(input.size(), length < 4 ? 0 : length - 4));
  input = input.subspan(body.size());
  return true;
}

}  // namespace turnout::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
