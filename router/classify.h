// Is this text a read, and may it run on green? Pure; the catalog is a value that control refreshes.
// router/README.md has the rules. Whatever is not proven a read is a write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace turnout::router {

enum class Verdict : std::uint8_t {
  read,         // proven: may run on green
  read_writer,  // reads, but its answer belongs to the writer's server or session (catalogs, version(), SHOW, …):
                // not ramped; during a hold it may go on, on a `read` connection of the writer
  write,        // or unknown, or too long, or not parsed
};
[[nodiscard]] constexpr const char* name(Verdict verdict) {
  switch (verdict) {
    case Verdict::read:
      return "read";
    case Verdict::read_writer:
      return "read_writer";
    case Verdict::write:
      return "write";
  }
  return "?";
}

// What the classifier knows of the databases. Built by control, immutable, shared between workers.
class Catalog;  // router/catalog.h
using CatalogPtr = std::shared_ptr<const Catalog>;

struct Classified {
  Verdict verdict = Verdict::write;
  std::string why;          // one line for explain-route: what made it so
  bool by_literal = false;  // another literal in the same place could change the verdict: not to be kept by shape
};

// Beyond these a text is a write. The second bounds how deep the parser can be made to nest (it recurses).
inline constexpr std::size_t classified_bytes_max = std::size_t{64} * 1024;
inline constexpr std::uint32_t classified_tokens_max = 8'000;
// A worker's thread needs this much stack for the worst text within those limits.
inline constexpr std::size_t classifier_stack_bytes = std::size_t{2} * 1024 * 1024;

// The parser's answer for one text (several statements: the worst counts). Not for the path: 20 µs and more.
// `database` selects the catalog's part; `search_path` is the session's, "" = the default.
// Thread-safe: libpg_query keeps its state per thread and frees it when the thread ends.
[[nodiscard]] Classified classify(std::string_view sql, const Catalog& catalog, std::string_view database,
                                  std::string_view search_path);

}  // namespace turnout::router
