#include "conf/quantity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace turnout::conf {
namespace {

using testing::HasSubstr;

struct Row {
  std::string_view text;
  std::uint64_t value;
};

TEST(Quantity, CountsAreDecimalDigits) {
  for (const Row& row : {Row{"0", 0}, Row{"20", 20}, Row{"18446744073709551615", 18446744073709551615ULL}}) {
    const auto parsed = parse_count(row.text);
    EXPECT_TRUE(parsed.is_ok()) << row.text << ": " << parsed.error;
    EXPECT_EQ(parsed.value, row.value) << row.text;
  }
}

TEST(Quantity, CountsRefuseEverythingElse) {
  for (const std::string_view text :
       {"", " 1", "1 ", "+1", "-1", "0x10", "1e3", "1.0", "1_000", "one", "1,000", "٣", "0b1", "0o7"}) {
    EXPECT_THAT(parse_count(text).error, HasSubstr("is not a whole number")) << text;
  }
  EXPECT_THAT(parse_count("010").error, HasSubstr("octal; write 10"));
  EXPECT_THAT(parse_count("000").error, HasSubstr("octal; write 0"));
  EXPECT_THAT(parse_count("18446744073709551616").error, HasSubstr("too large"));
}

TEST(Quantity, Durations) {
  for (const Row& row : {Row{"0", 0}, Row{"0s", 0}, Row{"1ms", 1}, Row{"100ms", 100}, Row{"5s", 5'000},
                         Row{"10m", 600'000}, Row{"10min", 600'000}, Row{"72h", 259'200'000}, Row{"3d", 259'200'000}}) {
    const auto parsed = parse_duration_ms(row.text);
    EXPECT_TRUE(parsed.is_ok()) << row.text << ": " << parsed.error;
    EXPECT_EQ(parsed.value, row.value) << row.text;
  }
}

TEST(Quantity, DurationsNeedAUnitAndSayWhatToWrite) {
  EXPECT_THAT(parse_duration_ms("5").error, HasSubstr("has no unit; write 5s for seconds or 5ms for milliseconds"));
  for (const std::string_view text :
       {"", "s", "5 s", "5S", "5M", "5us", "1h30m", "1.5s", "-5s", "5sec", "5s ", "five"}) {
    EXPECT_THAT(parse_duration_ms(text).error, HasSubstr("is not a duration; write")) << text;
  }
  EXPECT_THAT(parse_duration_ms("05s").error, HasSubstr("write 5s"));
  // The product wraps at 64 bits: the factor must be looked at, not only the digits.
  EXPECT_THAT(parse_duration_ms("213503982335d").error, HasSubstr("too large"));
  EXPECT_TRUE(parse_duration_ms("213503982334d").is_ok());
}

TEST(Quantity, Sizes) {
  for (const Row& row :
       {Row{"0", 0}, Row{"512", 512}, Row{"512B", 512}, Row{"16kB", 16384}, Row{"16KB", 16384}, Row{"16KiB", 16384},
        Row{"16kiB", 16384}, Row{"64MiB", 67108864}, Row{"64MB", 67108864}, Row{"8GiB", 8589934592},
        Row{"1GB", 1073741824}, Row{"2TiB", 2199023255552}, Row{"1TB", 1099511627776}}) {
    const auto parsed = parse_bytes(row.text);
    EXPECT_TRUE(parsed.is_ok()) << row.text << ": " << parsed.error;
    EXPECT_EQ(parsed.value, row.value) << row.text;
  }
  for (const std::string_view text : {"", "B", "16k", "16m", "16 MiB", "1.5GiB", "-1", "16MIB", "16Mib"}) {
    EXPECT_THAT(parse_bytes(text).error, HasSubstr("is not a size; write")) << text;
  }
  EXPECT_THAT(parse_bytes("16777216TiB").error, HasSubstr("too large"));
}

TEST(Quantity, TextIsReadBack) {
  for (const std::uint64_t value :
       {0ULL, 1ULL, 999ULL, 1'000ULL, 1'500ULL, 60'000ULL, 90'000ULL, 3'600'000ULL, 86'400'000ULL, 259'200'001ULL}) {
    EXPECT_EQ(parse_duration_ms(duration_text(value)).value, value) << duration_text(value);
  }
  for (const std::uint64_t value :
       {0ULL, 1ULL, 1'023ULL, 1'024ULL, 1'073'741'823ULL, 1'073'741'824ULL, 1ULL << 40, (1ULL << 40) + 1}) {
    EXPECT_EQ(parse_bytes(bytes_text(value)).value, value) << bytes_text(value);
  }
  EXPECT_EQ(duration_text(1'500), "1500ms");
  EXPECT_EQ(duration_text(259'200'000), "3d");
  EXPECT_EQ(bytes_text(16'384), "16KiB");
}

}  // namespace
}  // namespace turnout::conf
