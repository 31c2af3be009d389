// The database that the corpus talks about: every kind of relation and function, once.
#pragma once

#include "router/catalog.h"

namespace turnout::router::test {

// Database "app". Carried: public.{accounts, orders, items, "Mixed"}, shop.orders, part, part_1. See the .cpp for what
// is not.
[[nodiscard]] CatalogPtr sample_catalog(std::uint64_t generation = 1, std::string_view deployment = "d");

}  // namespace turnout::router::test
