#include "protocol/pg/type_map.h"

#include <array>
#include <cctype>
#include <charconv>
#include <unordered_set>

#include "protocol/pg/sql_lexer.h"

namespace turnout::protocol::pg {

namespace {

constexpr Oid record = 2249, record_array = 2287, any_array = 2277;

struct Object {
  std::string_view name;
  Oid oid = 0;
};

constexpr bool is_word(std::string_view text, std::size_t at, std::string_view lower_case) {
  if (text.size() - at < lower_case.size()) return false;
  for (std::size_t i = 0; i < lower_case.size(); ++i) {
    const char c = text[at + i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c) != lower_case[i]) return false;
  }
  return true;
}

}  // namespace

class TypeMapBuilder {
 public:
  TypeMapBuilder(const ObjectOids& native, const ObjectOids& server) : native_(native), server_(server) {}

  TypeMapPtr build() {
    for (const auto* side : {&native_, &server_}) {
      auto& used = side == &native_ ? used_native_ : used_server_;
      for (const TypeRow& row : side->types) used.insert(row.oid);
      for (const ObjectRow& row : side->objects) used.insert(row.oid);
    }
    map_->types = pair_up(objects(native_.types), objects(server_.types), true);
    map_->objects = pair_up(objects(native_.objects), objects(server_.objects), false);
    if (map_->to_native.numbers_.empty() && map_->to_server.numbers_.empty()) return nullptr;
    note_shapes(server_.types, map_->to_native);
    note_shapes(native_.types, map_->to_server);
    for (const TypeRow& row : server_.types)  // of types that only the server has, under the number clients know
      if (const TypeShape* shape = map_->to_native.shape(row.oid); shape != nullptr)
        map_->to_server.shapes_.try_emplace(map_->to_native.translate(row.oid),
                                            TypeShape{shape->kind, map_->to_native.translate(shape->inner)});
    return std::move(map_);
  }

 private:
  template <typename Row>
  static std::vector<Object> objects(const std::vector<Row>& rows) {
    std::vector<Object> objects;
    objects.reserve(rows.size());
    for (const Row& row : rows)
      if (row.oid >= first_user_oid) objects.push_back({row.name, row.oid});
    return objects;
  }

  void put(Oid server, Oid native) {
    if (server == native) return;
    map_->to_native.numbers_.emplace(server, native);
    map_->to_server.numbers_.emplace(native, server);
  }

  // The number, or a higher one that no object of either side has.
  [[nodiscard]] Oid unused(Oid oid) {
    Oid moved = oid + moved_by;
    while (used_native_.contains(moved) || used_server_.contains(moved) || moved < first_user_oid) ++moved;
    used_native_.insert(moved);
    used_server_.insert(moved);
    return moved;
  }

  std::size_t pair_up(const std::vector<Object>& native, const std::vector<Object>& server, bool are_types) {
    std::unordered_map<std::string_view, Oid> by_name;
    for (const Object& object : native) by_name.emplace(object.name, object.oid);
    std::size_t differing = 0;
    for (const Object& object : server) {
      const auto found = by_name.find(object.name);
      if (found == by_name.end()) {
        if (used_native_.contains(object.oid)) put(object.oid, unused(object.oid));
        if (are_types) map_->one_sided.emplace_back(object.name);
        continue;
      }
      differing += object.oid != found->second ? 1u : 0u;
      put(object.oid, found->second);
      by_name.erase(found);
    }
    // Only native: the server must not take its number for that of something else.
    for (const Object& object : native) {
      const auto left = by_name.find(object.name);
      if (left == by_name.end() || left->second != object.oid) continue;
      if (used_server_.contains(object.oid)) put(unused(object.oid), object.oid);
      if (are_types) map_->one_sided.emplace_back(object.name);
    }
    return differing;
  }

  // A type is noted when numbers may stand in its values; types that hold such a type follow, until none does.
  static void note_shapes(const std::vector<TypeRow>& rows, OidTable& table) {
    auto& shapes = table.shapes_;
    shapes.emplace(record, TypeShape{TypeKind::composite, 0});
    shapes.emplace(record_array, TypeShape{TypeKind::array, record});
    shapes.emplace(any_array, TypeShape{TypeKind::array, 0});
    for (const TypeRow& row : rows)
      if (row.kind == TypeKind::composite) shapes.emplace(row.oid, TypeShape{row.kind, 0});
    for (bool grown = true; grown;) {
      grown = false;
      for (const TypeRow& row : rows) {
        if (row.kind == TypeKind::plain || row.kind == TypeKind::composite || shapes.contains(row.oid)) continue;
        const TypeShape* const inner = table.shape(row.inner);
        const bool is_array = row.kind == TypeKind::array;
        if (inner == nullptr && !(is_array && table.translate(row.inner) != row.inner)) continue;
        // A domain's values look like those of the type below it.
        shapes.emplace(row.oid, row.kind == TypeKind::domain ? *inner : TypeShape{row.kind, row.inner});
        grown = true;
      }
    }
  }

  const ObjectOids& native_;
  const ObjectOids& server_;
  std::shared_ptr<TypeMap> map_ = std::make_shared<TypeMap>();
  std::unordered_set<Oid> used_native_, used_server_;
};

TypeMapPtr make_type_map(const ObjectOids& native, const ObjectOids& server) {
  return TypeMapBuilder(native, server).build();
}

// Asked of every text that goes to a side with other numbers: the C library finds a letter faster than a loop here, and
// each word in question has a `g` as its second or third one, or an underscore as its seventh.
CatalogUse catalog_use(std::string_view sql) {
  // Not every pg_…: pg_advisory_lock(17000) is not about an object.
  constexpr std::array<std::string_view, 23> catalogs = {
      "pg_type",   "pg_class",   "pg_attr",   "pg_enum",    "pg_range",    "pg_index",    "pg_constraint", "pg_proc",
      "pg_namesp", "pg_trigger", "pg_dep",    "pg_desc",    "pg_sequence", "pg_inherits", "pg_roles",      "pg_authid",
      "pg_oper",   "pg_opclass", "pg_collat", "pg_rewrite", "pg_policy",   "pg_stat_",    "pg_get_"};
  CatalogUse use = CatalogUse::none;
  for (const char letter : {'g', 'G'}) {
    for (std::size_t at = sql.find(letter); at != std::string_view::npos; at = sql.find(letter, at + 1)) {
      if (at >= 1 && is_word(sql, at - 1, "pg_")) {
        for (const std::string_view word : catalogs)
          if (is_word(sql, at - 1, word)) return CatalogUse::catalogs;
      }
      if (at >= 2 && (is_word(sql, at - 2, "regtype") || is_word(sql, at - 2, "regclass"))) use = CatalogUse::casts;
    }
  }
  constexpr std::size_t before = std::string_view("format").size();
  for (std::size_t at = sql.find('_'); at != std::string_view::npos; at = sql.find('_', at + 1))
    if (at >= before && is_word(sql, at - before, "format_type")) return CatalogUse::catalogs;
  return use;
}

std::string translate_text(std::string_view text, const OidTable& table) {
  if (text.find_first_not_of("0123456789{}, NULl") != std::string_view::npos) return std::string(text);
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    Oid number = 0;
    const char* const begin = text.data() + at;
    const auto [end, error] = std::from_chars(begin, text.data() + text.size(), number);
    if (end == begin) {
      out += text[at++];
      continue;
    }
    const std::string_view digits(begin, static_cast<std::size_t>(end - begin));
    const Oid translated = error == std::errc{} ? table.translate(number) : 0;
    if (error == std::errc{} && translated != number)
      out += std::to_string(translated);
    else
      out += digits;
    at += digits.size();
  }
  return out;
}

std::optional<std::string> translate_literals(std::string_view sql, const OidTable& table) {
  std::string out;
  std::size_t copied = 0;
  SqlLexer lexer(sql);
  for (Token token = lexer.next(); token.kind != TokenKind::end && token.kind != TokenKind::unterminated;
       token = lexer.next()) {
    const auto at = static_cast<std::size_t>(token.text.data() - sql.data());
    const bool is_number = token.kind == TokenKind::number;
    const bool is_literal = token.kind == TokenKind::literal && token.text.size() > 2 && token.text.front() == '\'';
    if (!is_number && !is_literal) continue;
    // Not $1, 1.5, t.1 or X'1'.
    const char before = at == 0 ? ' ' : sql[at - 1];
    const char behind = at + token.text.size() < sql.size() ? sql[at + token.text.size()] : ' ';
    if (is_number && (before == '.' || before == '$' || behind == '.')) continue;
    if (is_literal && std::isalnum(static_cast<unsigned char>(before)) != 0) continue;
    const std::string_view inner = is_literal ? token.text.substr(1, token.text.size() - 2) : token.text;
    const std::string changed = translate_text(inner, table);
    if (changed == inner) continue;
    const std::size_t inner_at = at + (is_literal ? 1 : 0);
    out.append(sql.substr(copied, inner_at - copied)).append(changed);
    copied = inner_at + inner.size();
  }
  if (copied == 0) return std::nullopt;
  return out.append(sql.substr(copied));
}

}  // namespace turnout::protocol::pg
