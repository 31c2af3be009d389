// What a server connection's lens decides: when a Bind must wait, when a portal must be described, which rows are
// changed.
#include "proxy/type_lens.h"

#include <gtest/gtest.h>

#include "protocol/pg/wire.h"

namespace turnout::proxy {
namespace {

namespace pg = protocol::pg;
using pg::Oid;

constexpr Oid mood_blue = 16400, moods_blue = 16399, mood_green = 17000, moods_green = 16400;

pg::TypeMapPtr a_map() {
  return pg::make_type_map(
      {{{"mood", mood_blue, pg::TypeKind::plain, 0}, {"mood[]", moods_blue, pg::TypeKind::array, mood_blue}}, {}},
      {{{"mood", mood_green, pg::TypeKind::plain, 0}, {"mood[]", moods_green, pg::TypeKind::array, mood_green}}, {}});
}

std::string content(std::string_view sql, const std::vector<Oid>& types) {
  std::string out;
  pg::Writer writer(out);
  writer.cstring(sql).u16(static_cast<std::uint16_t>(types.size()));
  for (const Oid type : types) writer.u32(type);
  return out;
}

std::string moods(Oid element) {
  std::string value;
  pg::Writer(value).u32(1).u32(0).u32(element).u32(1).u32(1).u32(2).raw("ok");
  return value;
}

// One value; `format` of it and of every result.
std::string bind_rest(std::string_view value, std::uint16_t format, std::uint16_t result_format) {
  std::string out;
  pg::Writer(out).u16(1).u16(format).u16(1).u32(static_cast<std::uint32_t>(value.size())).raw(value);
  pg::Writer(out).u16(1).u16(result_format);
  return out;
}

std::string row(std::string_view value) {
  std::string out;
  pg::Writer(out).u16(1).u32(static_cast<std::uint32_t>(value.size())).raw(value);
  return out;
}

std::string columns(Oid type, std::uint16_t format = 0) {
  std::string out;
  pg::Writer(out).u16(1).cstring("ms").u32(0).u16(0).u32(type).u16(0xFFFF).u32(0).u16(format);
  return out;
}

std::string through(TypeLens& lens, char type, TypeLens::Ticket ticket, const std::string& body) {
  std::string out;
  if (!lens.begin_message(type, ticket, pg::bytes_of(body), true)) return body;
  lens.body(out, pg::bytes_of(body), true);
  return out;
}

std::string bound(TypeLens& lens, const DescribedPtr& described, const std::string& rest, const char* portal = "") {
  std::string out("B\0\0\0\0\0\0", 7);
  lens.bind(out, 0, portal, described, pg::bytes_of(rest), true);
  return out.substr(7);
}

TEST(TypeLens, ABindWaitsOnlyForTypesThatItNeeds) {
  using Readiness = TypeLens::Readiness;
  TypeLens lens(a_map());
  const std::string binary = bind_rest(moods(mood_blue), 1, 1), text = bind_rest("{ok}", 0, 0);
  const auto readiness = [&](const char* sql, const std::vector<Oid>& types, const std::string& rest) {
    return TypeLens::bind_readiness(*TypeLens(a_map()).statement(1, content(sql, types)), pg::bytes_of(rest), true,
                                    rest.size());
  };
  EXPECT_EQ(readiness("SELECT $1", {moods_blue}, binary), Readiness::ready);
  EXPECT_EQ(readiness("SELECT $1", {}, binary), Readiness::needs_description);
  EXPECT_EQ(readiness("SELECT $1", {0}, binary), Readiness::needs_description);
  EXPECT_EQ(readiness("SELECT $1", {}, text), Readiness::ready);
  EXPECT_EQ(readiness("SELECT FROM pg_type WHERE oid = $1", {}, text), Readiness::needs_description);
  const DescribedPtr described = lens.statement(1, content("SELECT $1", {}));
  for (std::size_t length = 0; length < binary.size(); ++length)
    EXPECT_EQ(TypeLens::bind_readiness(*described, pg::bytes_of(binary).first(length), false, binary.size()),
              Readiness::incomplete);
  EXPECT_EQ(TypeLens::bind_readiness(*described, pg::bytes_of(binary).first(3), true, 3),
            Readiness::ready);  // malformed
  // Too long to wait for: its head is enough.
  EXPECT_EQ(TypeLens::bind_readiness(*described, pg::bytes_of(binary), false, 1'000'000), Readiness::needs_description);
}

TEST(TypeLens, WhatTheServerSaidIsRememberedAndUsed) {
  TypeLens lens(a_map());
  const DescribedPtr described = lens.statement(7, content("SELECT ms FROM t WHERE ms = $1", {}));
  const auto ticket = lens.describe_statement(described);
  std::string types;
  pg::Writer(types).u16(1).u32(moods_green);
  std::string told;
  pg::Writer(told).u16(1).u32(moods_blue);
  EXPECT_EQ(through(lens, 't', ticket, types), told);
  EXPECT_EQ(through(lens, 'T', ticket, columns(moods_green)), columns(moods_blue));
  EXPECT_EQ(bound(lens, described, bind_rest(moods(mood_blue), 1, 1)), bind_rest(moods(mood_green), 1, 1));
  const auto run = lens.execute("");
  EXPECT_FALSE(run.needs_description);
  ASSERT_NE(run.ticket, 0u);
  EXPECT_EQ(through(lens, 'D', run.ticket, row(moods(mood_green))), row(moods(mood_blue)));
  // In text nothing has to be looked at.
  static_cast<void>(bound(lens, described, bind_rest("{ok}", 0, 0)));
  EXPECT_EQ(lens.execute("").ticket, 0u);
  lens.forget(7);
  EXPECT_FALSE(lens.statement(7, content("SELECT ms FROM t WHERE ms = $1", {}))->knows_parameters);
}

TEST(TypeLens, APortalThatNobodyDescribedIsDescribed) {
  TypeLens lens(a_map());
  const DescribedPtr described = lens.statement(7, content("SELECT ms FROM t", {}));
  static_cast<void>(bound(lens, described, bind_rest("x", 0, 1), "p"));
  EXPECT_TRUE(lens.execute("p").needs_description);
  EXPECT_TRUE(lens.execute("never seen").needs_description);
  const auto ticket = lens.describe_portal("p");
  const auto run = lens.execute("p");  // sent before the answer came
  EXPECT_FALSE(run.needs_description);
  EXPECT_EQ(through(lens, 'T', ticket, columns(moods_green, 1)), columns(moods_blue, 1));
  EXPECT_EQ(through(lens, 'D', run.ticket, row(moods(mood_green))), row(moods(mood_blue)));
}

TEST(TypeLens, AfterAnErrorItAsksAgain) {
  TypeLens lens(a_map());
  const DescribedPtr described = lens.statement(7, content("SELECT ms FROM t", {}));
  static_cast<void>(bound(lens, described, bind_rest("x", 0, 1)));
  static_cast<void>(lens.describe_portal(""));
  EXPECT_FALSE(lens.execute("").needs_description);
  lens.failed();
  EXPECT_TRUE(lens.execute("").needs_description);
}

TEST(TypeLens, NothingOfInterestStreamsOn) {
  TypeLens lens(a_map());
  const auto ticket = lens.query(pg::CatalogUse::none);
  EXPECT_EQ(through(lens, 'T', ticket, columns(23)), columns(23));
  EXPECT_FALSE(lens.begin_message('D', ticket, {}, false));
  EXPECT_FALSE(lens.begin_message('C', ticket, {}, false));
  EXPECT_FALSE(lens.begin_message('D', 0, {}, false));
}

TEST(TypeLens, ADescriptionThatComesAgainIsTheSame) {
  TypeLens lens(a_map());
  const auto query = [&](pg::CatalogUse use, const std::string& description, const std::string& one_row) {
    const auto ticket = lens.query(use);
    const std::string told = through(lens, 'T', ticket, description);
    const std::string told_row = through(lens, 'D', ticket, one_row);
    lens.ready(false);
    return std::pair(told, told_row);
  };
  const std::string number = row("17");
  for (int times = 0; times < 3; ++times)
    EXPECT_EQ(query(pg::CatalogUse::none, columns(23), number), std::pair(columns(23), number));
  for (int times = 0; times < 3; ++times) {
    EXPECT_EQ(query(pg::CatalogUse::none, columns(mood_green), row("ok")), std::pair(columns(mood_blue), row("ok")));
    EXPECT_EQ(query(pg::CatalogUse::none, columns(moods_green, 1), row(moods(mood_green))),
              std::pair(columns(moods_blue, 1), row(moods(mood_blue))))
        << "its rows hold numbers, whatever was before it";
  }
  // In pieces it is looked at as ever, also behind a whole one.
  EXPECT_EQ(query(pg::CatalogUse::none, columns(mood_green), row("ok")).first, columns(mood_blue));
  const auto ticket = lens.query(pg::CatalogUse::none);
  const std::string description = columns(mood_green);
  ASSERT_TRUE(lens.begin_message('T', ticket, pg::bytes_of(description).first(9), false));
  std::string told;
  lens.body(told, pg::bytes_of(description).first(9), false);
  lens.body(told, pg::bytes_of(description).subspan(9), true);
  EXPECT_EQ(told, columns(mood_blue));
  // With another map it is another one.
  lens.ready(false);
  lens.use(std::make_shared<pg::TypeMap>());
  EXPECT_EQ(query(pg::CatalogUse::none, columns(mood_green), row("ok")).first, columns(mood_green));
}

TEST(TypeLens, MoreIsAskedWhileAnAnswerIsComing) {
  TypeLens lens(a_map());
  const auto ticket = lens.query(pg::CatalogUse::none);
  EXPECT_EQ(through(lens, 'T', ticket, columns(moods_green, 1)), columns(moods_blue, 1));
  const std::string body = row(moods(mood_green));
  ASSERT_TRUE(lens.begin_message('D', ticket, pg::bytes_of(body).first(5), false));
  std::string told;
  lens.body(told, pg::bytes_of(body).first(5), false);
  for (int i = 0; i < 1'000; ++i) static_cast<void>(lens.query(pg::CatalogUse::none));
  lens.body(told, pg::bytes_of(body).subspan(5), true);
  EXPECT_EQ(told, row(moods(mood_blue)));
  EXPECT_EQ(through(lens, 'D', ticket, body), row(moods(mood_blue)));
  // The description of one, too.
  const auto next = lens.query(pg::CatalogUse::none);
  const std::string description = columns(moods_green, 1);
  ASSERT_TRUE(lens.begin_message('T', next, pg::bytes_of(description).first(9), false));
  told.clear();
  lens.body(told, pg::bytes_of(description).first(9), false);
  for (int i = 0; i < 1'000; ++i) static_cast<void>(lens.query(pg::CatalogUse::none));
  lens.body(told, pg::bytes_of(description).subspan(9), true);
  EXPECT_EQ(told, columns(moods_blue, 1));
  EXPECT_EQ(through(lens, 'D', next, body), row(moods(mood_blue)));
}

TEST(TypeLens, LongBindsInPieces) {
  TypeLens lens(a_map());
  const DescribedPtr described = lens.statement(7, content("SELECT $1", {moods_blue}));
  std::string large, expected;
  {
    std::string value, there;
    pg::Writer(value).u32(1).u32(0).u32(mood_blue).u32(1).u32(1).u32(90'000).raw(std::string(90'000, 'x'));
    pg::Writer(there).u32(1).u32(0).u32(mood_green).u32(1).u32(1).u32(90'000).raw(std::string(90'000, 'x'));
    large = bind_rest(value, 1, 1);
    expected = bind_rest(there, 1, 1);
  }
  for (const std::size_t first : {std::size_t{6}, std::size_t{13}, std::size_t{21}, std::size_t{50'000}}) {
    std::string out;
    lens.bind(out, 0, "", described, pg::bytes_of(large).first(first), false);
    ASSERT_TRUE(lens.is_binding());
    for (std::size_t at = first; at < large.size(); at += 7'001)
      lens.bind_body(out, pg::bytes_of(large).subspan(at, std::min<std::size_t>(7'001, large.size() - at)),
                     at + 7'001 >= large.size());
    EXPECT_FALSE(lens.is_binding());
    EXPECT_TRUE(out == expected) << first;
    EXPECT_TRUE(lens.execute("").needs_description);  // its formats were never seen
  }
}

TEST(TypeLens, NumbersInTextChangeTheLength) {
  TypeLens lens(a_map());
  const DescribedPtr described = lens.statement(7, content("SELECT typname FROM pg_type WHERE oid = $1", {26}));
  std::string out;
  pg::Writer(out).begin('B').cstring("").cstring("");
  lens.bind(out, 0, "", described, pg::bytes_of(bind_rest("{16400,25}", 0, 0)), true);
  EXPECT_EQ(out.substr(7), bind_rest("{17000,25}", 0, 0));
  EXPECT_EQ(pg::load_u32(reinterpret_cast<const std::uint8_t*>(out.data()) + 1), out.size() - 1);
  std::string parse;
  lens.put_content(parse, content("SELECT '16400'::regtype FROM pg_type", {mood_blue}));
  EXPECT_EQ(parse, content("SELECT '17000'::regtype FROM pg_type", {mood_green}));
}

TEST(TypeLens, AnotherMapCountsWhenNothingIsOwed) {
  TypeLens lens(a_map());
  static_cast<void>(lens.query(pg::CatalogUse::none));
  const pg::TypeMapPtr next = pg::make_type_map({{{"mood", 16500, pg::TypeKind::plain, 0}}, {}},
                                                {{{"mood", 16600, pg::TypeKind::plain, 0}}, {}});
  lens.use(next);
  EXPECT_EQ(lens.map().to_native.translate(mood_green), mood_blue);
  lens.ready(true);
  EXPECT_EQ(lens.map().to_native.translate(mood_green), mood_blue);
  lens.ready(false);
  EXPECT_EQ(lens.map().to_native.translate(16600), 16500u);
}

}  // namespace
}  // namespace turnout::proxy
