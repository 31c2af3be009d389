#include "router/verdict_cache.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "router/catalog.h"
#include "router/mysql_classify.h"
#include "router/mysql_shape.h"
#include "router/shape.h"

namespace turnout::router {

namespace {

// `by_literal`: the shape is known, and each text of it has to be classified anew.
enum class Kept : std::uint8_t { nothing, read, read_writer, write, by_literal };

Kept kept(const Classified& classified) {
  if (classified.by_literal) return Kept::by_literal;
  switch (classified.verdict) {
    case Verdict::read:
      return Kept::read;
    case Verdict::read_writer:
      return Kept::read_writer;
    case Verdict::write:
      return Kept::write;
  }
  return Kept::write;
}

struct Entry {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  std::uint32_t used = 0;  // the clock at its last use
  Kept kept = Kept::nothing;
};

// Where the entry of an outline's shape stands, as long as it does.
struct Outlined {
  std::uint64_t low = 0, high = 0;              // the outline
  std::uint64_t entry_low = 0, entry_high = 0;  // what that entry holds
  std::uint32_t entry = 0;
};

// Where a text is run, and what stands for that before its outline.
struct Place {
  std::uint64_t identity = 0;  // of the catalog
  std::string database, search_path;
  ShapeHash hash;
};

Verdict verdict_of(Kept kept) {
  return kept == Kept::read ? Verdict::read : kept == Kept::read_writer ? Verdict::read_writer : Verdict::write;
}

}  // namespace

// Sets of four entries: a key belongs to one set, and the entry of it that was not used for longest makes room. So a
// lookup reads a line or two of memory, and the whole never grows.
struct VerdictCache::Impl {
  static constexpr std::size_t ways = 4;

  Impl(std::uint64_t seed, std::size_t capacity, Grammar its_grammar)
      : start(seed),
        grammar(its_grammar),
        set_count(std::max<std::size_t>(1, capacity / ways)),
        entries(set_count * ways),
        outlines(set_count) {}

  [[nodiscard]] std::span<Entry> set_of(std::uint64_t low) {
    const auto set = static_cast<std::size_t>((static_cast<Wide>(low) * set_count) >> 64);
    return std::span(entries).subspan(set * ways, ways);
  }

  [[nodiscard]] Outlined& outlined(std::uint64_t low) {
    return outlines[static_cast<std::size_t>((static_cast<Wide>(low) * outlines.size()) >> 64)];
  }
  // Null: nothing is known of it, or it hangs on a literal.
  [[nodiscard]] Entry* entry_of(const Outlined& outlined) {
    Entry& entry = entries[outlined.entry];
    const bool is_it = entry.low == outlined.entry_low && entry.high == outlined.entry_high;
    return is_it && entry.kept != Kept::nothing && entry.kept != Kept::by_literal ? &entry : nullptr;
  }
  // The entry that holds the verdict now; `is_known`: it did before.
  [[nodiscard]] Entry& find(const Shape& shape, bool& is_known);

  // Most sessions of a worker are in one place; it is hashed when another one comes.
  [[nodiscard]] const ShapeHash& around(std::uint64_t identity, std::string_view database,
                                        std::string_view search_path) {
    const bool is_there =
        place && place->identity == identity && place->database == database && place->search_path == search_path;
    if (is_there) return place->hash;
    place = Place{identity, std::string(database), std::string(search_path), start};
    place->hash.mix(identity);
    place->hash.mix_bytes(database);
    place->hash.mix_bytes(search_path);
    return place->hash;
  }
  [[nodiscard]] ShapeHash outline(std::string_view sql, const ShapeHash& around) const {
    return grammar == Grammar::mysql ? mysql_outline_of(sql, around) : outline_of(sql, around);
  }
  [[nodiscard]] Shape shape(std::string_view sql, const ShapeHash& context) const {
    return grammar == Grammar::mysql ? mysql_shape_of(sql, context) : shape_of(sql, context);
  }
  [[nodiscard]] Classified classify(std::string_view sql, const Catalog& catalog, std::string_view database,
                                    std::string_view search_path) const {
    return grammar == Grammar::mysql ? classify_mysql(sql, catalog, search_path)
                                     : router::classify(sql, catalog, database, search_path);
  }

  ShapeHash start;
  std::optional<Place> place;  // of the latest text
  Grammar grammar;
  std::size_t set_count;
  std::vector<Entry> entries;
  std::vector<Outlined> outlines;  // one place for each, whoever was there before
  std::uint32_t clock = 0;
  std::uint64_t last_shape = 0;
  Counters counters;
};

VerdictCache::VerdictCache(std::uint64_t seed, std::size_t capacity, Grammar grammar)
    : impl_(std::make_unique<Impl>(seed, capacity, grammar)) {}
VerdictCache::~VerdictCache() = default;
VerdictCache::VerdictCache(VerdictCache&&) noexcept = default;
VerdictCache& VerdictCache::operator=(VerdictCache&&) noexcept = default;

Verdict VerdictCache::verdict(std::string_view sql, const CatalogPtr& catalog, std::string_view database,
                              std::string_view search_path, bool trusted_text) {
  impl_->last_shape = 0;
  if (!trusted_text || sql.size() > classified_bytes_max) return Verdict::write;
  const CatalogPtr nothing_known = catalog ? CatalogPtr() : empty_catalog();
  const Catalog& known = catalog ? *catalog : *nothing_known;
  Impl& impl = *impl_;
  const ShapeHash outline = impl.outline(sql, impl.around(known.identity(), database, search_path));
  Outlined& outlined = impl.outlined(outline.low());
  if (outlined.low == outline.low() && outlined.high == outline.high()) {
    if (Entry* const entry = impl.entry_of(outlined)) {
      entry->used = ++impl.clock;
      ++impl.counters.hits;
      impl.last_shape = (entry->low ^ known.identity()) | 1;
      return verdict_of(entry->kept);
    }
  }

  ShapeHash context = impl.start;
  context.mix_text(database);
  context.mix_text(search_path);
  Shape shape = impl.shape(sql, context);
  if (shape.kind == ShapeKind::malformed) return Verdict::write;
  if (shape.kind == ShapeKind::own) {
    ++impl.counters.misses;
    return impl.classify(sql, known, database, search_path).verdict;
  }
  impl.last_shape = shape.low | 1;  // never the 0 that says there is none
  shape.low ^= known.identity();    // another catalog forgets everything; the shape stays the same
  shape.high += known.identity();
  bool is_known = false;
  Entry& entry = impl.find(shape, is_known);
  entry.used = ++impl.clock;
  const auto place = static_cast<std::uint32_t>(&entry - impl.entries.data());
  outlined = {outline.low(), outline.high(), shape.low, shape.high, place};
  if (is_known && entry.kept != Kept::by_literal) {
    ++impl.counters.hits;
    return verdict_of(entry.kept);
  }
  ++impl.counters.misses;
  const Classified classified = impl.classify(sql, known, database, search_path);
  if (!is_known && entry.kept != Kept::nothing) ++impl.counters.evictions;
  entry = {shape.low, shape.high, impl.clock, kept(classified)};
  return classified.verdict;
}

Entry& VerdictCache::Impl::find(const Shape& shape, bool& is_known) {
  const std::span<Entry> set = set_of(shape.low);
  Entry* oldest = &set.front();
  for (Entry& entry : set) {
    is_known = entry.kept != Kept::nothing && entry.low == shape.low && entry.high == shape.high;
    if (is_known) return entry;
    // Ages, not the clock's values: those wrap around.
    const bool older = clock - entry.used > clock - oldest->used;
    if (oldest->kept != Kept::nothing && (entry.kept == Kept::nothing || older)) oldest = &entry;
  }
  return *oldest;
}

std::uint64_t VerdictCache::last_shape() const {
  return impl_->last_shape;
}

const VerdictCache::Counters& VerdictCache::counters() const {
  return impl_->counters;
}

}  // namespace turnout::router
