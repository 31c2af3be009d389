// A worker's memory of verdicts, by the shape of a text. Bounded; not thread-safe (one a worker).
//
// The key is a keyed hash of (shape, database, search_path, catalog generation): a shape is the text with literals
// replaced and comments dropped, found by our own lexer in one pass without allocation. A text whose verdict depends on
// a literal (set_config, function arguments that name relations) is never cached by shape.
//
// Most texts come again with nothing changed but numbers: what was said of such an outline (shape.h) is remembered
// before the shape is looked for, because finding that takes most of the time.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "router/classify.h"

namespace turnout::router {

enum class Grammar : std::uint8_t { postgres, mysql };

class VerdictCache {
 public:
  static constexpr std::size_t capacity_default = 10'000;
  // `seed` secret and random: keys come from clients. capacity: entries.
  explicit VerdictCache(std::uint64_t seed, std::size_t capacity = capacity_default, Grammar grammar = Grammar::postgres);
  ~VerdictCache();
  VerdictCache(VerdictCache&&) noexcept;
  VerdictCache& operator=(VerdictCache&&) noexcept;

  // standard_conforming_strings=off, client encodings other than UTF8/SQL_ASCII/LATIN1…9: the caller passes
  // trusted_text=false and gets `write`. With Grammar::mysql `search_path` is the session's default database, and texts
  // under NO_BACKSLASH_ESCAPES that hold a backslash, or under a mode with another grammar, are not to be trusted.
  [[nodiscard]] Verdict verdict(std::string_view sql, const CatalogPtr& catalog, std::string_view database,
                                std::string_view search_path, bool trusted_text);

  // Of the latest call: what stands for the text's shape, its database and search_path, the same on every worker with
  // this seed. 0: the text has none.
  [[nodiscard]] std::uint64_t last_shape() const;

  struct Counters {
    std::uint64_t hits = 0, misses = 0, evictions = 0;
  };
  [[nodiscard]] const Counters& counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace turnout::router
