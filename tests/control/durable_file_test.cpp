#include "control/durable_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace turnout::control {
namespace {

std::string content_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::stringstream content;
  content << in.rdbuf();
  return content.str();
}

TEST(durable_file, replaces_as_a_whole_or_says_why_not) {
  const auto directory = std::filesystem::path(testing::TempDir()) / "durable_file_test";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  const auto file = directory / "state.json";
  EXPECT_EQ(write_durably(file, "one"), "");
  EXPECT_EQ(write_durably(file, "two, longer"), "");
  EXPECT_EQ(content_of(file), "two, longer");
  EXPECT_EQ(write_durably(file, ""), "");
  EXPECT_EQ(content_of(file), "");
  EXPECT_NE(write_durably(directory / "not there" / "state.json", "x"), "");
  std::filesystem::create_directories(directory / "taken.new");
  EXPECT_NE(write_durably(directory / "taken", "x"), "") << "a directory is in the way";
  EXPECT_FALSE(std::filesystem::exists(directory / "taken"));
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace turnout::control
