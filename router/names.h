// What a name in a text may mean, given the catalog, the database and the session's search_path: always the worst of
// what the server could resolve it to.
#pragma once

#include <string_view>

#include "router/catalog.h"
#include "router/search_path.h"

namespace turnout::router {

class Names {
 public:
  // The catalog and the database's name must outlive it.
  Names(const Catalog& catalog, std::string_view database, SearchPath path);

  // An empty schema: unqualified. CTE names are the caller's business.
  [[nodiscard]] Effect relation(std::string_view schema, std::string_view name) const;
  [[nodiscard]] Effect function(std::string_view schema, std::string_view name) const;
  [[nodiscard]] Effect type(std::string_view schema, std::string_view name) const;
  [[nodiscard]] Effect operation(std::string_view name) const;
  // The b of a.b or (a).b: a column, a system column, or the call b(a). A function's own alias is a value of any type,
  // (a) is one too, so it may be one of Postgres' own.
  [[nodiscard]] Effect member(std::string_view name) const;

 private:
  const Catalog& catalog_;
  std::string_view database_;
  SearchPath path_;
};

}  // namespace turnout::router
