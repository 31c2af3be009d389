// Which number (OID) an object has on one side of a pair, and which number clients know it by.
//
// A database that was filled by logical copy gives other numbers to types, tables and functions of the same name, and
// drivers remember numbers. Clients are told one number for the life of the pair: blue's, the native one. A TypeMap is
// made for the side that is not native; it is immutable, of one database, and there is none where nothing differs.
//
// Always true:
//  - both directions are one-to-one: two objects of a side never have the same native number. An object that only this
//    side has keeps its number; where a native object has the same one, it is shown `moved_by` higher;
//  - numbers below 16384 are the system's own and stay;
//  - objects are matched by name: arrays by their element's, multiranges by their range's.
// Source: PostgreSQL manual 8.19 "Object Identifier Types", 52.64 pg_type; src/include/access/transam.h
// FirstNormalObjectId; types of results by 55.7 "Message Formats".
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace turnout::protocol::pg {

using Oid = std::uint32_t;
inline constexpr Oid first_user_oid = 16384;
inline constexpr Oid moved_by = 0x4000'0000;

enum class TypeKind : std::uint8_t { plain, array, composite, range, multirange, domain };

struct TypeRow {
  std::string name;  // a key: the same on both sides for the same type
  Oid oid = 0;
  TypeKind kind = TypeKind::plain;
  Oid inner = 0;  // element, subtype, range or base type
};
// Anything else that has a number and a name: relations, functions, schemas, roles, constraints, …
struct ObjectRow {
  std::string name;
  Oid oid = 0;
};

// What control reads of one database on one side.
struct ObjectOids {
  std::vector<TypeRow> types;
  std::vector<ObjectRow> objects;
};

// How the binary form of a type is read on the way to the numbers in it.
struct TypeShape {
  TypeKind kind = TypeKind::plain;
  Oid inner = 0;
  friend bool operator==(const TypeShape&, const TypeShape&) = default;
};

// One direction.
class OidTable {
 public:
  [[nodiscard]] Oid translate(Oid oid) const {
    if (oid < first_user_oid) return oid;
    const auto found = numbers_.find(oid);
    return found == numbers_.end() ? oid : found->second;
  }
  // Nothing: no value of this type has a number in it that would have to be changed.
  [[nodiscard]] const TypeShape* shape(Oid type) const {
    const auto found = shapes_.find(type);
    return found == shapes_.end() ? nullptr : &found->second;
  }
  friend bool operator==(const OidTable&, const OidTable&) = default;

 private:
  friend class TypeMapBuilder;
  std::unordered_map<Oid, Oid> numbers_;
  std::unordered_map<Oid, TypeShape> shapes_;
};

class TypeMap {
 public:
  OidTable to_native;                  // what the server sends
  OidTable to_server;                  // what clients send
  std::size_t types = 0, objects = 0;  // that differ
  std::vector<std::string> one_sided;  // types that only one side has

  friend bool operator==(const TypeMap&, const TypeMap&) = default;
};
using TypeMapPtr = std::shared_ptr<const TypeMap>;

// For the side that `server` was read from. Null: nothing differs.
[[nodiscard]] TypeMapPtr make_type_map(const ObjectOids& native, const ObjectOids& server);

// Does a text look into the catalogs, so that numbers in its parameters and results may be numbers of objects?
enum class CatalogUse : std::uint8_t {
  none,
  casts,     // regtype and the like: in its results
  catalogs,  // in both
};
[[nodiscard]] CatalogUse catalog_use(std::string_view sql);

// A text that uses the catalogs, with the numbers in it changed: 17001, '17001', '{17001,17002}'. psql and pgjdbc ask
// for tables this way. nullopt: there are none.
[[nodiscard]] std::optional<std::string> translate_literals(std::string_view sql, const OidTable& table);
// "17001" or "{17001,NULL,17005}" or "17001 17005"; another text comes back as it is.
[[nodiscard]] std::string translate_text(std::string_view text, const OidTable& table);

}  // namespace turnout::protocol::pg
