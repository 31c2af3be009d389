// The reader of MySQL's answers, with the exchange before it as in a session: whole, cut anywhere, and with bytes that
// no honest server sends.
#include "router/mysql_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "router/shadow_match.h"
#include "router/shadow_rows.h"

namespace turnout::router {
namespace {

namespace my = protocol::mysql;
using testing::HasSubstr;

constexpr my::Capabilities with_eof = my::capability::protocol_41;
constexpr my::Capabilities without_eof = with_eof | my::capability::deprecate_eof;

struct TestColumn {
  std::string name;
  std::uint8_t type = my::type::text_of_variable_length;
  std::uint16_t flags = 0;
  std::uint16_t collation = 45;
  std::string table = {};
};
using Values = std::vector<std::optional<std::string>>;

std::string text_row(const Values& values) {
  std::vector<my::Field> fields;
  for (const auto& value : values) fields.push_back(value ? my::Field(*value) : my::Field());
  std::string row;
  my::put_text_row(row, fields);
  return row;
}

// An answer of one result, packet by packet, as that server writes it.
class Answer {
 public:
  explicit Answer(my::Capabilities capabilities, std::uint16_t warnings = 0)
      : capabilities_(capabilities), warnings_(warnings) {}

  Answer& columns(const std::vector<TestColumn>& columns) {
    std::string payload;
    my::put_column_count(payload, columns.size(), capabilities_);
    add(payload);
    for (const TestColumn& one : columns) {
      my::Column column;
      column.name = one.name;
      column.table = one.table;
      column.type = one.type;
      column.flags = one.flags;
      column.collation = one.collation;
      payload.clear();
      my::put_column(payload, column, capabilities_);
      add(payload);
    }
    if ((capabilities_ & my::capability::deprecate_eof) == 0) eof(0);
    return *this;
  }
  Answer& row(const Values& values) { return add(text_row(values)); }
  Answer& add(std::string_view payload) {
    number_ = my::put_message(bytes_, number_, payload);
    return *this;
  }
  Answer& eof(std::uint16_t more) {
    std::string payload;
    my::put_eof(payload, {warnings_, static_cast<std::uint16_t>(my::status::autocommit | more)});
    return add(payload);
  }
  Answer& end(std::uint16_t more = 0) {
    if ((capabilities_ & my::capability::deprecate_eof) == 0) return eof(more);
    my::Ok ok;
    ok.ends_rows = true;
    ok.warnings = warnings_;
    ok.status = static_cast<std::uint16_t>(my::status::autocommit | more);
    std::string payload;
    my::put_ok(payload, ok, capabilities_);
    return add(payload);
  }
  Answer& error(std::uint16_t number, std::string_view sqlstate) {
    std::string payload;
    my::put_error(payload, {number, sqlstate, "words"});
    return add(payload);
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] my::Capabilities capabilities() const { return capabilities_; }

 private:
  const my::Capabilities capabilities_;
  const std::uint16_t warnings_;
  std::string bytes_;
  std::uint8_t number_ = 1;
};

// As a session and a lane read: what is a whole row goes by as such, what has to be looked at whole waits.
struct Server {
  Server(my::Capabilities capabilities, const AnswerReader::Limits& limits, bool is_binary)
      : reader(ShapeHash(42), limits, is_binary) {
    exchange.begin(capabilities, my::status::autocommit);
    my::Exchange::Entry entry;
    entry.command = is_binary ? my::Command::statement_execute : my::Command::query;
    exchange.sent(entry);
    reader.begin(capabilities);
  }
  void feed(my::Bytes bytes) {
    input.append(my::text(bytes));
    std::size_t at = 0;
    while (!is_broken && !reader.is_over()) {
      const std::size_t used = step(my::bytes_of(input).subspan(at));
      if (used == 0) break;
      at += used;
    }
    input.erase(0, at);
  }
  std::size_t step(my::Bytes rest) {
    if (body_left != 0) {
      const std::size_t part = std::min(body_left, rest.size());
      reader.take_more(rest.first(part));
      body_left -= part;
      return part;
    }
    if (const std::size_t rows = exchange.take_rows(rest); rows != 0) {
      reader.take_rows(rest.first(rows));
      return rows;
    }
    my::Header header;
    if (!my::read_header(rest, header)) return 0;
    const std::size_t available = std::min(rest.size(), header.total());
    if (available == my::header_bytes && header.payload != 0) return 0;
    const std::uint8_t first = header.payload != 0 ? rest[my::header_bytes] : std::uint8_t{0};
    if (available < header.total() && exchange.wants_whole(header, first)) return 0;
    const my::Bytes payload = rest.subspan(my::header_bytes, available - my::header_bytes);
    const auto received = exchange.received(header, payload);
    is_broken = received.action == my::Exchange::Action::protocol_error || received.unasked;
    if (is_broken) return 0;
    reader.take(received, header, payload);
    body_left = header.total() - available;
    return available;
  }
  [[nodiscard]] KeptAnswer kept() const {
    return {reader.digest(), reader.columns(), reader.kept(), reader.keeps_rows()};
  }

  my::Exchange exchange;
  MysqlAnswerReader reader;
  std::string input;
  std::size_t body_left = 0;
  bool is_broken = false;
};

const AnswerReader::Limits keeping{1 << 20, 1 << 20};

Server read(const Answer& answer, bool is_binary = false, const AnswerReader::Limits& limits = keeping) {
  Server server(answer.capabilities(), limits, is_binary);
  server.feed(my::bytes_of(answer.bytes()));
  EXPECT_TRUE(server.reader.is_over());
  return server;
}

ShadowMatch matched(const Answer& writer, const Answer& other, bool is_ordered = true) {
  return match(read(writer).reader.digest(), read(other).reader.digest(), is_ordered);
}

const std::vector<TestColumn> two = {{"id", my::type::long_number, 0, 63}, {"body"}};

Answer rows_of_two(const std::vector<Values>& rows, my::Capabilities capabilities = without_eof,
                   std::uint16_t warnings = 0) {
  Answer answer(capabilities, warnings);
  answer.columns(two);
  for (const Values& row : rows) answer.row(row);
  answer.end();
  return answer;
}

TEST(mysql_answer, how_it_ends_and_its_warnings_are_no_part_of_it) {
  const std::vector<Values> rows = {{"1", "a"}, {"2", std::nullopt}};
  EXPECT_EQ(matched(rows_of_two(rows, with_eof, 3), rows_of_two(rows)), ShadowMatch::same);
  EXPECT_EQ(read(rows_of_two(rows)).reader.digest().rows, 2U);
  EXPECT_EQ(read(rows_of_two(rows)).reader.digest().results, 1U);
}

TEST(mysql_answer, values_and_their_order_are_told_apart) {
  const std::vector<std::vector<Values>> different = {{{"1", "ab"}},
                                                      {{"1a", "b"}},
                                                      {{"1", std::nullopt}},
                                                      {{"1", ""}},
                                                      {{std::nullopt, "1"}},
                                                      {{"1", "aB"}},
                                                      {{"1", "ab"}, {"1", "ab"}},
                                                      {},
                                                      {{"1", std::string(300, 'x')}},
                                                      {{"1", std::string("ab\0", 3)}}};
  for (std::size_t i = 0; i < different.size(); ++i)
    for (std::size_t j = 0; j < different.size(); ++j)
      for (const bool is_ordered : {true, false})
        EXPECT_EQ(matched(rows_of_two(different[i]), rows_of_two(different[j]), is_ordered),
                  i == j ? ShadowMatch::same : ShadowMatch::rows)
            << i << " and " << j;
  const Answer here = rows_of_two({{"1", "a"}, {"2", "b"}}), there = rows_of_two({{"2", "b"}, {"1", "a"}});
  EXPECT_EQ(matched(here, there, true), ShadowMatch::order);
  EXPECT_EQ(matched(here, there, false), ShadowMatch::same);
}

TEST(mysql_answer, columns_are_names_and_types_but_not_tables) {
  const auto with = [](const TestColumn& column) { return Answer(without_eof).columns({column}).row({"1"}).end(); };
  const Answer writer = with({"id", my::type::long_number, 0, 63});
  EXPECT_EQ(matched(writer, with({"id", my::type::long_number, 0, 63, "t2"})), ShadowMatch::same);
  EXPECT_EQ(matched(writer, with({"ID", my::type::long_number, 0, 63})), ShadowMatch::columns);
  EXPECT_EQ(matched(writer, with({"id", my::type::long_long, 0, 63})), ShadowMatch::columns);
  EXPECT_EQ(matched(writer, with({"id", my::type::long_number, 0x20, 63})), ShadowMatch::columns) << "unsigned";
  EXPECT_EQ(matched(with({"id"}), with({"id", my::type::text_of_variable_length, 0, 63})), ShadowMatch::columns);
}

TEST(mysql_answer, the_rows_of_two_results_do_not_mix) {
  const auto of = [](const Values& first, const Values& second) {
    Answer answer(without_eof);
    answer.columns(two).row(first).end(my::status::more_results);
    return answer.columns(two).row(second).end();
  };
  const Answer here = of({"1", "a"}, {"2", "b"});
  EXPECT_EQ(read(here).reader.digest().results, 2U);
  EXPECT_EQ(matched(here, here), ShadowMatch::same);
  EXPECT_EQ(matched(here, of({"2", "b"}, {"1", "a"}), false), ShadowMatch::rows);
}

TEST(mysql_answer, errors_have_a_class) {
  const auto class_of = [](std::uint16_t number, std::string_view sqlstate) {
    return read(Answer(without_eof).error(number, sqlstate)).reader.digest().sqlstate;
  };
  EXPECT_EQ(class_of(1054, "42S22"), "42S22");
  EXPECT_EQ(class_of(1205, "HY000"), "H1205");
  EXPECT_EQ(class_of(64, "HY000"), "H0064");
  EXPECT_EQ(class_of(1054, "4'\n;-"), "?????");
  const Answer in_rows = Answer(without_eof).columns(two).row({"1", "a"}).error(1317, "70100");
  EXPECT_EQ(read(in_rows).reader.digest().sqlstate, "70100");
  EXPECT_EQ(matched(in_rows, rows_of_two({{"1", "a"}})), ShadowMatch::error);
}

TEST(mysql_answer, wherever_it_is_cut_it_is_the_same) {
  for (const my::Capabilities capabilities : {with_eof, without_eof}) {
    const Answer answer = rows_of_two({{"1", std::string(40, 'y')}, {"2", std::nullopt}, {"3", ""}}, capabilities);
    const my::Bytes bytes = my::bytes_of(answer.bytes());
    const Server whole = read(answer);
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
      Server server(capabilities, keeping, false);
      server.feed(bytes.first(cut));
      EXPECT_EQ(server.reader.is_over(), cut == bytes.size());
      server.feed(bytes.subspan(cut));
      ASSERT_TRUE(server.reader.is_over()) << cut;
      EXPECT_EQ(match(whole.reader.digest(), server.reader.digest(), true), ShadowMatch::same) << "cut at " << cut;
      EXPECT_EQ(server.reader.kept(), whole.reader.kept());
    }
    Server by_byte(capabilities, keeping, false);
    for (const std::uint8_t& byte : bytes) by_byte.feed({&byte, 1});
    EXPECT_EQ(match(whole.reader.digest(), by_byte.reader.digest(), true), ShadowMatch::same);
  }
}

// A row's own lengths, one byte after the other, say anything: it is read to its end or not at all.
TEST(mysql_answer, lengths_that_lie) {
  const std::string honest = text_row({"1", "abc", std::nullopt, "long enough"});
  const std::vector<TestColumn> four = {{"a"}, {"b"}, {"c"}, {"d"}};
  std::size_t malformed = 0;
  for (std::size_t at = 0; at < honest.size(); ++at) {
    for (unsigned byte = 0; byte < 256; ++byte) {
      std::string row = honest;
      row[at] = static_cast<char>(byte);
      if (at == 0 && byte >= 0xfe) continue;  // that is no row any more
      const Server server = read(Answer(without_eof).columns(four).add(row).end());
      const bool is_malformed = server.reader.digest().gap == AnswerGap::malformed;
      malformed += is_malformed ? 1U : 0U;
      EXPECT_TRUE(!is_malformed || server.reader.kept().empty());
    }
  }
  EXPECT_GT(malformed, 700U);
  for (std::size_t length = 1; length < honest.size(); ++length)
    EXPECT_EQ(read(Answer(without_eof).columns(four).add(honest.substr(0, length)).end()).reader.digest().gap,
              AnswerGap::malformed)
        << length;
  EXPECT_EQ(read(Answer(without_eof).columns(four).add(honest + "x").end()).reader.digest().gap, AnswerGap::malformed);
}

TEST(mysql_answer, a_definition_that_is_cut_short) {
  std::string payload, count;
  my::Column column;
  column.name = "id";
  my::put_column(payload, column, without_eof);
  my::put_column_count(count, 1, without_eof);
  for (std::size_t length = 1; length < payload.size(); ++length) {
    const Server server = read(Answer(without_eof).add(count).add(payload.substr(0, length)).row({"1"}).end());
    EXPECT_EQ(server.reader.digest().gap, AnswerGap::malformed) << length;
  }
}

TEST(mysql_answer, what_is_too_long_is_not_compared) {
  const AnswerReader::Limits limits{100, 50};
  const std::vector<Values> rows(30, Values{"1", "ab"});
  const Server server = read(rows_of_two(rows), false, limits);
  EXPECT_EQ(server.reader.digest().gap, AnswerGap::too_long);
  EXPECT_TRUE(server.reader.kept().empty());
  const Server kept_in_part = read(rows_of_two({rows.begin(), rows.begin() + 10}), false, limits);
  EXPECT_EQ(kept_in_part.reader.digest().gap, AnswerGap::none);
  EXPECT_FALSE(kept_in_part.reader.keeps_rows());
}

// ---- binary rows

std::string bytes_of_double(double value) {
  std::array<char, 8> bytes{};
  std::memcpy(bytes.data(), &value, bytes.size());
  return {bytes.begin(), bytes.end()};
}

// id, weight, word; a bit of the second byte for each that is NULL.
Answer binary(std::int32_t id, double weight, std::string_view word, unsigned nulls = 0) {
  std::string row(1, '\0');
  row += static_cast<char>(nulls << 2U);
  if ((nulls & 1U) == 0)
    for (const int shift : {0, 8, 16, 24}) row += static_cast<char>(id >> shift & 0xff);
  if ((nulls & 2U) == 0) row += bytes_of_double(weight);
  if ((nulls & 4U) == 0) my::Writer(row).counted(word);
  return Answer(without_eof)
      .columns({{"id", my::type::long_number, 0, 63}, {"weight", my::type::double_number, 0, 63}, {"word"}})
      .add(row)
      .end();
}

TEST(mysql_answer, binary_rows) {
  const auto told = [](const Answer& here, const Answer& there) {
    const KeptAnswer a = read(here, true).kept(), b = read(there, true).kept();
    return explain_difference(a, b, match(a.digest, b.digest, false), {});
  };
  const auto digest = [](const Answer& answer) { return read(answer, true).reader.digest(); };
  const Answer one = binary(7, 0.1 + 0.2, "a");
  EXPECT_EQ(match(digest(one), digest(binary(7, 0.1 + 0.2, "a")), true), ShadowMatch::same);
  EXPECT_EQ(match(digest(one), digest(binary(8, 0.1 + 0.2, "a")), true), ShadowMatch::rows);
  EXPECT_TRUE(told(one, binary(7, 0.3, "a")).is_explained);
  EXPECT_THAT(told(one, binary(7, 0.3, "a")).text, HasSubstr("1 row, in weight"));
  EXPECT_FALSE(told(one, binary(7, 0.4, "a")).is_explained);
  EXPECT_FALSE(told(one, binary(7, 0.3, "b")).is_explained);
  for (unsigned nulls = 1; nulls < 8; ++nulls) {
    EXPECT_EQ(digest(binary(7, 0.3, "a", nulls)).gap, AnswerGap::none);
    EXPECT_FALSE(told(one, binary(7, 0.3, "a", nulls)).is_explained);
  }
}

TEST(mysql_answer, whole_numbers_of_binary_rows_are_kept_in_digits) {
  const auto values_of = [](const Answer& answer) {
    const Server server = read(answer, true);
    const auto rows = rows_of(server.reader.kept());
    EXPECT_EQ(rows.size(), 1U);
    return Values{std::optional<std::string>(rows[0][0]), std::optional<std::string>(rows[0][2])};
  };
  EXPECT_EQ(values_of(binary(7, 1, "word")), (Values{"7", "word"}));
  EXPECT_EQ(values_of(binary(-3, 1, "")), (Values{"-3", ""}));
  EXPECT_EQ(values_of(binary(-3, 1, "", 5)), (Values{std::nullopt, std::nullopt}));
  const std::string row = std::string(2, '\0') + std::string(8, '\xff');
  const auto of = [&](std::uint16_t flags) {
    const Server server =
        read(Answer(without_eof).columns({{"n", my::type::long_long, flags, 63}}).add(row).end(), true);
    return std::string(rows_of(server.reader.kept())[0][0].value_or("NULL"));
  };
  EXPECT_EQ(of(0), "-1");
  EXPECT_EQ(of(0x20), "18446744073709551615");
}

TEST(mysql_answer, binary_rows_that_end_early_or_late) {
  const Answer honest = binary(7, 1, "word");
  std::string row(2, '\0');
  row += std::string("\x07\0\0\0", 4) + bytes_of_double(1) + "\x04word";
  const auto gap_of = [](const std::string& one) {
    return read(Answer(without_eof)
                    .columns(
                        {{"id", my::type::long_number, 0, 63}, {"weight", my::type::double_number, 0, 63}, {"word"}})
                    .add(one)
                    .end(),
                true)
        .reader.digest()
        .gap;
  };
  EXPECT_EQ(gap_of(row), AnswerGap::none);
  for (std::size_t length = 1; length < row.size(); ++length)
    EXPECT_EQ(gap_of(row.substr(0, length)), AnswerGap::malformed) << length;
  EXPECT_EQ(gap_of(row + "x"), AnswerGap::malformed);
  for (unsigned byte = 0; byte < 256; ++byte) {  // the length of the word
    row[14] = static_cast<char>(byte);
    EXPECT_EQ(gap_of(row), byte == 4 ? AnswerGap::none : AnswerGap::malformed) << byte;
  }
}

}  // namespace
}  // namespace turnout::router
