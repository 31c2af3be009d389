// What is known of Postgres' own functions and types beyond their volatility: which volatile ones are harmless, which
// stable ones give the same answer on green. Tables; names only.
#pragma once

#include <string_view>

#include "router/catalog.h"

namespace turnout::router {

[[nodiscard]] bool is_system_schema(std::string_view schema);

// A function of this schema and volatility, by the rules of router/README.md.
[[nodiscard]] Effect effect_of_function(std::string_view schema, std::string_view name, char volatility);

// One of Postgres' own that counts as a read although two calls differ: random(), clock_timestamp(), ….
[[nodiscard]] bool is_harmless_volatile(std::string_view name);

// Of those of Postgres' own that are not portable, one that x.name cannot call and that columns are often called like.
[[nodiscard]] bool takes_no_argument(std::string_view name);

// regclass and its kin: their values are read from the system catalogs and differ between the sides.
[[nodiscard]] bool is_catalog_type(std::string_view name);

// ctid, xmin, …: belong to one server's heap.
[[nodiscard]] bool is_system_column(std::string_view name);

}  // namespace turnout::router
