#include "router/verdict_cache.h"

#include <algorithm>
#include <span>
#include <vector>

#include "router/catalog.h"
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

}  // namespace

// Sets of four entries: a key belongs to one set, and the entry of it that was not used for longest makes room. So a
// lookup reads a line or two of memory, and the whole never grows.
struct VerdictCache::Impl {
  static constexpr std::size_t ways = 4;

  Impl(std::uint64_t seed, std::size_t capacity)
      : start(seed), set_count(std::max<std::size_t>(1, capacity / ways)), entries(set_count * ways) {}

  [[nodiscard]] std::span<Entry> set_of(std::uint64_t low) {
    const auto set = static_cast<std::size_t>((static_cast<Wide>(low) * set_count) >> 64);
    return std::span(entries).subspan(set * ways, ways);
  }

  ShapeHash start;
  std::size_t set_count;
  std::vector<Entry> entries;
  std::uint32_t clock = 0;
  std::uint64_t last_shape = 0;
  Counters counters;
};

VerdictCache::VerdictCache(std::uint64_t seed, std::size_t capacity) : impl_(std::make_unique<Impl>(seed, capacity)) {}
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
  ShapeHash context = impl.start;
  context.mix_text(database);
  context.mix_text(search_path);
  Shape shape = shape_of(sql, context);
  if (shape.kind == ShapeKind::malformed) return Verdict::write;
  if (shape.kind == ShapeKind::own) {
    ++impl.counters.misses;
    return classify(sql, known, database, search_path).verdict;
  }

  impl.last_shape = shape.low | 1;  // never the 0 that says there is none
  shape.low ^= known.identity();    // another catalog forgets everything; the shape stays the same
  shape.high += known.identity();
  const std::span<Entry> set = impl.set_of(shape.low);
  const std::uint32_t now = ++impl.clock;
  Entry* oldest = &set.front();
  for (Entry& entry : set) {
    if (entry.kept != Kept::nothing && entry.low == shape.low && entry.high == shape.high) {
      entry.used = now;
      if (entry.kept == Kept::by_literal) break;
      ++impl.counters.hits;
      return entry.kept == Kept::read          ? Verdict::read
             : entry.kept == Kept::read_writer ? Verdict::read_writer
                                               : Verdict::write;
    }
    // Ages, not the clock's values: those wrap around.
    const bool older = now - entry.used > now - oldest->used;
    if (oldest->kept != Kept::nothing && (entry.kept == Kept::nothing || older)) oldest = &entry;
  }

  ++impl.counters.misses;
  const Classified classified = classify(sql, known, database, search_path);
  const auto same = std::ranges::find_if(
      set, [&](const Entry& e) { return e.kept != Kept::nothing && e.low == shape.low && e.high == shape.high; });
  Entry& slot = same != set.end() ? *same : *oldest;
  if (same == set.end() && slot.kept != Kept::nothing) ++impl.counters.evictions;
  slot = {shape.low, shape.high, now, kept(classified)};
  return classified.verdict;
}

std::uint64_t VerdictCache::last_shape() const {
  return impl_->last_shape;
}

const VerdictCache::Counters& VerdictCache::counters() const {
  return impl_->counters;
}

}  // namespace turnout::router
