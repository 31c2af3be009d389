// Numbers of types in messages: the map of two sides, and each form of binary value, cut at every byte and with every
// length falsified.
#include "protocol/pg/type_values.h"

#include <gtest/gtest.h>

#include <functional>
#include <numeric>

namespace turnout::protocol::pg {
namespace {

// Native (blue) and the server's (green) numbers.
constexpr Oid mood_blue = 16400, moods_blue = 16399, pair_blue = 16410, pairs_blue = 16409, span_blue = 16420,
              spans_blue = 16422, small_blue = 16430, smalls_blue = 16429, table_blue = 16500;
constexpr Oid mood_green = 17000, moods_green = 16998, pair_green = 16400, pairs_green = 17009, span_green = 17020,
              spans_green = 17022, small_green = 17030, smalls_green = 17029, table_green = 16410;
constexpr Oid only_green = 16430, only_green_array = 18001;

ObjectOids blue() {
  return {{{"mood", mood_blue, TypeKind::plain, 0},
           {"mood[]", moods_blue, TypeKind::array, mood_blue},
           {"pair", pair_blue, TypeKind::composite, 0},
           {"pair[]", pairs_blue, TypeKind::array, pair_blue},
           {"span", span_blue, TypeKind::range, pair_blue},
           {"spans", spans_blue, TypeKind::multirange, span_blue},
           {"small", small_blue, TypeKind::domain, pair_blue},
           {"small[]", smalls_blue, TypeKind::array, small_blue}},
          {{"public.t", table_blue}}};
}

ObjectOids green() {
  return {{{"mood", mood_green, TypeKind::plain, 0},
           {"mood[]", moods_green, TypeKind::array, mood_green},
           {"pair", pair_green, TypeKind::composite, 0},
           {"pair[]", pairs_green, TypeKind::array, pair_green},
           {"span", span_green, TypeKind::range, pair_green},
           {"spans", spans_green, TypeKind::multirange, span_green},
           {"small", small_green, TypeKind::domain, pair_green},
           {"small[]", smalls_green, TypeKind::array, small_green},
           {"only", only_green, TypeKind::plain, 0},
           {"only[]", only_green_array, TypeKind::array, only_green}},
          {{"public.t", table_green}}};
}

// ---- values, written with the numbers of one side
struct Numbers {
  Oid mood, moods, pair, pairs, span, small;
};
constexpr Numbers on_blue = {mood_blue, moods_blue, pair_blue, pairs_blue, span_blue, small_blue};
constexpr Numbers on_green = {mood_green, moods_green, pair_green, pairs_green, span_green, small_green};

std::string u32(std::uint32_t value) {
  std::string out;
  Writer(out).u32(value);
  return out;
}
std::string sized(const std::string& value) {
  return u32(static_cast<std::uint32_t>(value.size())) + value;
}
std::string array(Oid element, const std::vector<std::string>& items) {
  std::string out = u32(1) + u32(0) + u32(element) + u32(static_cast<std::uint32_t>(items.size())) + u32(1);
  for (const std::string& item : items) out += sized(item);
  return out;
}
std::string pair_value(const Numbers& n) {
  return u32(3) + u32(n.mood) + sized("happy") + u32(23) + sized(u32(mood_green)) + u32(n.moods) +
         sized(array(n.mood, {"sad", "ok"}));
}
std::string range(const std::string& low, const std::string& high) {
  return std::string(1, '\2') + sized(low) + sized(high);
}
std::string row(const std::vector<std::string>& values) {
  std::string out;
  Writer(out).u16(static_cast<std::uint16_t>(values.size()));
  for (const std::string& value : values) out += sized(value);
  return out;
}

struct Case {
  const char* name;
  Oid blue_type, green_type;
  std::function<std::string(const Numbers&)> value;
};

std::vector<Case> cases() {
  return {
      {"array of enum", moods_blue, moods_green,
       [](const Numbers& n) {
         return array(n.mood, {"sad", u32(mood_green)});
       }},
      {"empty array", moods_blue, moods_green, [](const Numbers& n) { return u32(0) + u32(0) + u32(n.mood); }},
      {"composite", pair_blue, pair_green, pair_value},
      {"array of composites", pairs_blue, pairs_green,
       [](const Numbers& n) {
         return array(n.pair, {pair_value(n), pair_value(n)}) + u32(UINT32_MAX);
       }},
      {"range of composites", span_blue, span_green,
       [](const Numbers& n) { return range(pair_value(n), pair_value(n)); }},
      {"multirange", spans_blue, spans_green,
       [](const Numbers& n) { return u32(2) + sized(range(pair_value(n), pair_value(n))) + sized("\1"); }},
      {"domain over composite", small_blue, small_green, pair_value},
      {"array of domains", smalls_blue, smalls_green, [](const Numbers& n) { return array(n.small, {pair_value(n)}); }},
      {"anonymous record", 2249, 2249,
       [](const Numbers& n) { return u32(1) + u32(n.pairs) + sized(array(n.pair, {pair_value(n)})); }},
      {"array of records", 2287, 2287,
       [](const Numbers& n) { return array(2249, {u32(1) + u32(n.mood) + sized("ok")}); }},
  };
}

std::string walk(const OidTable& table, const ValuePlans& plans, std::string body, std::size_t piece) {
  ValuesWalk values(table, plans);
  std::size_t at = 0, end = 0;
  while (at < body.size() && end < body.size()) {
    end = std::min(body.size(), end + piece);
    MutableBytes bytes(reinterpret_cast<std::uint8_t*>(body.data()), body.size());
    at += values.feed(bytes.subspan(at, end - at));
  }
  return body;
}

class TypeValues : public testing::Test {
 protected:
  const TypeMapPtr map_ = make_type_map(blue(), green());
};

TEST_F(TypeValues, BothDirectionsOfTheMap) {
  ASSERT_NE(map_, nullptr);
  EXPECT_EQ(map_->to_native.translate(mood_green), mood_blue);
  EXPECT_EQ(map_->to_server.translate(mood_blue), mood_green);
  EXPECT_EQ(map_->to_native.translate(table_green), table_blue);  // 16410 is `pair` on blue, the table on green
  EXPECT_EQ(map_->to_server.translate(pair_blue), pair_green);
  EXPECT_EQ(map_->to_native.translate(23), 23u);
  EXPECT_EQ(map_->to_native.translate(99999), 99999u);
  EXPECT_EQ(map_->types, 8u);
  EXPECT_EQ(map_->one_sided, (std::vector<std::string>{"only", "only[]"}));
}

TEST_F(TypeValues, TypesOfOneSideNeverHaveTheNumberOfAnother) {
  EXPECT_EQ(map_->to_native.translate(only_green), only_green + moved_by);  // 16430 is `small` on blue
  EXPECT_EQ(map_->to_server.translate(only_green + moved_by), only_green);
  EXPECT_EQ(map_->to_native.translate(only_green_array), only_green_array);
  ObjectOids with_its_own = blue();
  with_its_own.types.push_back({"blues", mood_green, TypeKind::plain, 0});
  const TypeMapPtr map = make_type_map(with_its_own, green());
  EXPECT_EQ(map->to_server.translate(mood_green), mood_green + moved_by);  // green's mood is not what is meant
}

TEST(TypeMaps, NothingDiffers) {
  EXPECT_EQ(make_type_map(blue(), blue()), nullptr);
  EXPECT_EQ(make_type_map({}, {}), nullptr);
  ObjectOids system = blue();
  system.types.push_back({"information_schema.x", 13000, TypeKind::domain, 19});
  EXPECT_EQ(make_type_map(blue(), system), nullptr);
}

TEST(TypeMaps, EqualWhenMadeAgain) {
  EXPECT_EQ(*make_type_map(blue(), green()), *make_type_map(blue(), green()));
  ObjectOids more = green();
  more.types.push_back({"new", 30000, TypeKind::plain, 0});
  ObjectOids more_blue = blue();
  more_blue.types.push_back({"new", 30001, TypeKind::plain, 0});
  EXPECT_FALSE(*make_type_map(blue(), green()) == *make_type_map(more_blue, more));
}

TEST_F(TypeValues, EachFormBothWaysInPiecesOfEverySize) {
  for (const Case& one : cases()) {
    const std::string plain = u32(mood_green);  // an int4 of the user with that very value
    const std::string native = row({plain, one.value(on_blue), plain});
    const std::string server = row({plain, one.value(on_green), plain});
    ASSERT_NE(native, server) << one.name;
    const ValuePlan read = plan_column(*map_, {one.green_type, 0, 0, true}, true, CatalogUse::none);
    const ValuePlan bound = plan_parameter(*map_, one.blue_type, true, CatalogUse::none);
    EXPECT_EQ(read.handling, Handling::structure) << one.name;
    for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{7}, server.size()}) {
      EXPECT_EQ(walk(map_->to_native, {{}, read, {}}, server, piece), native) << one.name << " in " << piece;
      EXPECT_EQ(walk(map_->to_server, {{}, bound, {}}, native, piece), server) << one.name << " in " << piece;
    }
  }
}

TEST_F(TypeValues, CutAtEveryByte) {
  for (const Case& one : cases()) {
    const std::string server = row({one.value(on_green)});
    const ValuePlans plans = {plan_column(*map_, {one.green_type, 0, 0, true}, true, CatalogUse::none)};
    const std::string whole = walk(map_->to_native, plans, server, server.size());
    for (std::size_t length = 0; length < server.size(); ++length) {
      const std::string cut = walk(map_->to_native, plans, server.substr(0, length), 5);
      EXPECT_EQ(cut.size(), length);
      // Up to the last number that may be cut itself, the same as in the whole.
      const std::size_t sure = length < 12 ? 0 : length - 12;
      EXPECT_EQ(cut.substr(0, sure), whole.substr(0, sure)) << one.name << " cut at " << length;
    }
  }
}

// No falsified byte makes it touch another value, or lose its place in the row.
TEST_F(TypeValues, EveryByteFalsified) {
  for (const Case& one : cases()) {
    const std::string behind = one.value(on_green);
    const std::string server = row({one.value(on_green), behind});
    const ValuePlan plan = plan_column(*map_, {one.green_type, 0, 0, true}, true, CatalogUse::none);
    const std::size_t second = server.size() - behind.size();
    for (std::size_t at = 6; at < second - 4; ++at) {
      for (const int byte : {0, 1, 2, 127, 128, 255}) {
        std::string false_one = server;
        false_one[at] = static_cast<char>(byte);
        const std::string changed = walk(map_->to_native, {plan, plan}, false_one, 11);
        ASSERT_EQ(changed.substr(second), one.value(on_blue)) << one.name << " with " << byte << " at " << at;
      }
    }
  }
}

TEST_F(TypeValues, DeepNestingIsLeft) {
  std::string value = u32(1) + u32(mood_green) + sized("ok");
  for (int depth = 0; depth < 100; ++depth) value = u32(1) + u32(2249) + sized(value);
  const std::string body = row({value, array(mood_green, {"ok"})});
  const ValuePlans plans = {{Handling::structure, 2249}, {Handling::structure, moods_green}};
  EXPECT_EQ(walk(map_->to_native, plans, body, body.size()), row({value, array(mood_blue, {"ok"})}));
}

TEST_F(TypeValues, Columns) {
  const auto body = [](Oid table, Oid type) {
    std::string out;
    Writer(out).u16(2).cstring("m").u32(table).u16(3).u32(type).u16(0xFFFF).u32(UINT32_MAX).u16(1);
    Writer(out).cstring("").u32(0).u16(0).u32(23).u16(4).u32(UINT32_MAX).u16(0);
    return out;
  };
  for (const std::size_t piece : {std::size_t{1}, std::size_t{19}, std::size_t{1000}}) {
    std::string bytes = body(table_green, moods_green);
    ColumnsWalk columns(map_->to_native);
    std::size_t at = 0;
    for (std::size_t end = 0; end < bytes.size();) {
      end = std::min(bytes.size(), end + piece);
      at += columns.feed(MutableBytes(reinterpret_cast<std::uint8_t*>(bytes.data()), end).subspan(at));
    }
    EXPECT_TRUE(columns.is_done());
    EXPECT_EQ(bytes, body(table_blue, moods_blue));
    ASSERT_EQ(columns.columns().size(), 2u);
    EXPECT_EQ(columns.columns()[0].type, moods_green);
    EXPECT_TRUE(columns.columns()[0].is_binary);
    EXPECT_FALSE(columns.columns()[1].is_binary);
  }
}

TEST_F(TypeValues, ListsOfTypes) {
  std::string list;
  Writer(list).u16(3).u32(mood_blue).u32(23).u32(pairs_blue);
  EXPECT_EQ(read_types(bytes_of(list)), (std::vector<Oid>{mood_blue, 23, pairs_blue}));
  translate_types(map_->to_server, MutableBytes(reinterpret_cast<std::uint8_t*>(list.data()), list.size()));
  EXPECT_EQ(read_types(bytes_of(list)), (std::vector<Oid>{mood_green, 23, pairs_green}));
  for (std::size_t length = 0; length < list.size(); ++length) {
    std::string cut = list.substr(0, length);
    translate_types(map_->to_server, MutableBytes(reinterpret_cast<std::uint8_t*>(cut.data()), cut.size()));
    EXPECT_LE(read_types(bytes_of(cut)).size(), 3u);
  }
}

TEST(TypeFormats, OneStandsForAll) {
  std::size_t used = 0;
  const auto formats = [&](const std::string& codes) { return read_formats(bytes_of(codes), used); };
  EXPECT_FALSE(formats(std::string("\0", 1)));
  EXPECT_FALSE(formats(std::string("\0\1\0", 3)));
  const auto one = formats(std::string("\0\1\0\1", 4));
  ASSERT_TRUE(one);
  EXPECT_EQ(used, 4u);
  EXPECT_TRUE(is_binary(*one, 7));
  const auto two = formats(std::string("\0\2\0\1\0\0", 6));
  EXPECT_TRUE(is_binary(*two, 0));
  EXPECT_FALSE(is_binary(*two, 1));
  EXPECT_FALSE(is_binary(*two, 2));
  EXPECT_FALSE(is_binary(*formats(std::string("\0\0", 2)), 0));
}

// ---- numbers that are the values themselves

TEST_F(TypeValues, CatalogColumnsAreTranslatedUserColumnsAreNot) {
  struct Row {
    ColumnNote column;
    bool is_binary;
    CatalogUse use;
    Handling handling;
  };
  const Row rows[] = {
      {{26, 1247, 1, false}, true, CatalogUse::none, Handling::number},              // pg_type.oid
      {{26, 1247, 1, false}, false, CatalogUse::none, Handling::text_numbers},       //
      {{26, table_green, 0xFFFA, false}, true, CatalogUse::none, Handling::number},  // tableoid
      {{26, table_green, 1, false}, true, CatalogUse::catalogs, Handling::leave},    // a user's column
      {{26, 0, 0, false}, true, CatalogUse::casts, Handling::number},                // 'mood'::regtype::oid
      {{26, 0, 0, false}, true, CatalogUse::none, Handling::leave},                  // lo_create()
      {{1028, 0, 0, false}, true, CatalogUse::catalogs, Handling::numbers},          // array_agg(atttypid)
      {{2206, 0, 0, false}, false, CatalogUse::catalogs, Handling::leave},           // a name
      {{2206, 0, 0, false}, true, CatalogUse::casts, Handling::number},              //
      {{23, 0, 0, false}, true, CatalogUse::catalogs, Handling::leave},
  };
  for (const Row& one : rows)
    EXPECT_EQ(plan_column(*map_, one.column, one.is_binary, one.use).handling, one.handling)
        << one.column.type << " of " << one.column.table << '.' << one.column.column;
}

TEST_F(TypeValues, ParametersOfCatalogQueries) {
  EXPECT_EQ(plan_parameter(*map_, 26, true, CatalogUse::catalogs).handling, Handling::number);
  EXPECT_EQ(plan_parameter(*map_, 23, true, CatalogUse::catalogs).handling, Handling::number);
  EXPECT_EQ(plan_parameter(*map_, 1028, true, CatalogUse::catalogs).handling, Handling::numbers);
  EXPECT_EQ(plan_parameter(*map_, 20, false, CatalogUse::catalogs).handling, Handling::text_numbers);
  EXPECT_EQ(plan_parameter(*map_, 26, true, CatalogUse::none).handling, Handling::leave);
  EXPECT_EQ(plan_parameter(*map_, 23, true, CatalogUse::casts).handling, Handling::leave);
  EXPECT_EQ(plan_parameter(*map_, 25, false, CatalogUse::catalogs).handling, Handling::leave);
}

TEST_F(TypeValues, BinaryNumbers) {
  const ValuePlans plans = {
      {Handling::number, 0}, {Handling::numbers, 0}, {Handling::number, 0}, {Handling::number, 0}};
  const auto body = [](Oid oid) { return row({u32(oid), array(26, {u32(oid), u32(25)}), u32(0) + u32(oid), "three"}); };
  EXPECT_EQ(walk(map_->to_server, plans, body(pair_blue), 1), body(pair_green));
  // The upper half of an int8 says that it is no number of a type.
  const std::string large = row({u32(1) + u32(pair_blue)});
  EXPECT_EQ(walk(map_->to_server, plans, large, 4), large);
}

TEST_F(TypeValues, NumbersInText) {
  const OidTable& table = map_->to_native;
  EXPECT_EQ(translate_text("17000", table), "16400");
  EXPECT_EQ(translate_text("{17000,NULL,25,17020}", table), "{16400,NULL,25,16420}");
  EXPECT_EQ(translate_text("17000 16430", table), "16400 1073758254");
  EXPECT_EQ(translate_text("table_17000", table), "table_17000");
  EXPECT_EQ(translate_text("99999999999999999999", table), "99999999999999999999");
  EXPECT_EQ(translate_text("", table), "");
}

TEST_F(TypeValues, TextNumbersInARow) {
  const ValuePlans plans = {{}, {Handling::text_numbers, 0}, {Handling::structure, moods_green}};
  const std::string body = row({"17000", "16430", array(mood_green, {"ok"})}) + "behind";
  const std::string expected = row({"17000", "1073758254", array(mood_green, {"ok"})}) + "behind";
  std::string out;
  copy_text_numbers(out, bytes_of(body), map_->to_native, plans);
  EXPECT_EQ(out, expected);
  for (std::size_t length = 0; length < body.size() - 6; ++length) {
    out.clear();
    copy_text_numbers(out, bytes_of(body).first(length), map_->to_native, plans);
    EXPECT_GE(out.size(), length);  // nothing is lost
    EXPECT_LE(out.size(), length + 5);
  }
}

TEST_F(TypeValues, NumbersInCatalogTexts) {
  const auto changed = [&](std::string_view sql) {
    return translate_literals(sql, map_->to_server).value_or("as it is");
  };
  EXPECT_EQ(changed("SELECT 1 FROM pg_class WHERE oid = 16500"), "SELECT 1 FROM pg_class WHERE oid = 16410");
  EXPECT_EQ(changed("WHERE c.oid='16500' AND t = ANY('{16400,16399}'::oid[])"),
            "WHERE c.oid='16410' AND t = ANY('{17000,16998}'::oid[])");
  EXPECT_EQ(changed("SELECT (16400),16400"), "SELECT (17000),17000");
  EXPECT_EQ(changed("SELECT $16400, 16400.5, 1.16400, a16400, \"16400\", 'x 16400', E'16400' -- 16400"), "as it is");
  EXPECT_EQ(changed("SELECT 25"), "as it is");
  EXPECT_EQ(changed("SELECT '16400"), "as it is");
  EXPECT_EQ(changed(""), "as it is");
}

TEST(CatalogUses, ByTheWordsOfTheText) {
  EXPECT_EQ(catalog_use("SELECT 1"), CatalogUse::none);
  EXPECT_EQ(catalog_use("SELECT pg_advisory_lock($1)"), CatalogUse::none);
  EXPECT_EQ(catalog_use("SELECT 'mood'::RegType::oid"), CatalogUse::casts);
  EXPECT_EQ(catalog_use("SELECT oid FROM pg_catalog.PG_TYPE WHERE oid = $1"), CatalogUse::catalogs);
  EXPECT_EQ(catalog_use("SELECT format_type($1, NULL)"), CatalogUse::catalogs);
  EXPECT_EQ(catalog_use("pg_typ"), CatalogUse::none);
  EXPECT_EQ(catalog_use(""), CatalogUse::none);
}

}  // namespace
}  // namespace turnout::protocol::pg
