// Is this text a read, and may it run on green? Pure; the catalog is a value that control refreshes.
// router/README.md has the rules. Whatever is not proven a read is a write.
#pragma once

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

// What the classifier knows of the databases. Built by control, immutable, shared between workers.
class Catalog;  // router/catalog.h
using CatalogPtr = std::shared_ptr<const Catalog>;

struct Classified {
  Verdict verdict = Verdict::write;
  std::string why;  // one line for explain-route: what made it so
};

// The parser's answer for one text (several statements: the worst counts). Not for the path: 20 µs and more.
// `database` selects the catalog's part; `search_path` is the session's, "" = the default.
[[nodiscard]] Classified classify(std::string_view sql, const Catalog& catalog, std::string_view database,
                                  std::string_view search_path);

}  // namespace turnout::router
