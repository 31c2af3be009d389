// What is written down of both sides' types: read again as it was, or not believed.
#include "control/type_book.h"

#include <gtest/gtest.h>

namespace turnout::control {
namespace {

using protocol::pg::TypeKind;

PairOids a_pair() {
  return {{"app",
           {{{{{"public.mood", 16400, TypeKind::plain, 0}, {"public.mood[]", 16399, TypeKind::array, 16400}},
              {{"role app", 16384}}},
             {{{"public.mood", 17000, TypeKind::plain, 0}, {"public.mood[]", 16999, TypeKind::array, 17000}},
              {{"role app", 16390}}}}}},
          {"empty", {}}};
}

TEST(TypeBook, WrittenAndReadAgain) {
  const auto text = to_text("blue here green there", a_pair());
  const auto read = pair_oids_of(text, "blue here green there");
  ASSERT_TRUE(read);
  const auto maps = make_type_maps(*read);
  ASSERT_EQ(maps->databases.size(), 1u);  // where nothing differs there is no map
  EXPECT_EQ(*maps->of("app"), *make_type_maps(a_pair())->of("app"));
  EXPECT_EQ(maps->of("app")->to_native.translate(17000), 16400u);
  EXPECT_EQ(maps->of("empty"), nullptr);
  EXPECT_EQ(maps->of("another"), nullptr);
}

TEST(TypeBook, WhatIsNotOursIsNotBelieved) {
  const auto text = to_text("blue here green there", a_pair());
  EXPECT_FALSE(pair_oids_of(text, "blue there green here"));
  for (std::size_t length = 0; length < text.size(); ++length)
    EXPECT_FALSE(pair_oids_of(text.substr(0, length), "blue here green there"));
  EXPECT_FALSE(pair_oids_of("[]", ""));
  EXPECT_FALSE(pair_oids_of(R"({"version":2,"pair":"","databases":{}})", ""));
  EXPECT_FALSE(pair_oids_of(R"({"version":1,"pair":"","databases":{"a":{"blue":{"types":[["x",1,9,0]]}}}})", ""));
}

}  // namespace
}  // namespace turnout::control
