// Every file of tests/conf/bad is refused with exactly the messages of its .expected file.
// TURNOUT_UPDATE_GOLDEN=1 writes the .expected files anew: read the difference before it is committed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "conf/load.h"

namespace turnout::conf {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> files_of(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(fs::path(TURNOUT_SOURCE_DIR) / "tests/conf" / folder)) {
    if (entry.path().extension() == ".yaml") files.push_back(folder + "/" + entry.path().filename().string());
  }
  std::ranges::sort(files);
  return files;
}

std::string content(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

// The configurations name their files relative to tests/conf, so that messages are the same on every machine.
class Golden : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    before_ = fs::current_path();
    fs::current_path(fs::path(TURNOUT_SOURCE_DIR) / "tests/conf");
  }
  void TearDown() override { fs::current_path(before_); }

 private:
  fs::path before_;
};

class Bad : public Golden {};
class Good : public Golden {};

TEST_P(Bad, IsRefusedWithEveryMistake) {
  std::string messages;
  try {
    static_cast<void>(load(GetParam()));
  } catch (const Invalid& invalid) {
    messages = std::string(invalid.what()) + "\n";
    EXPECT_EQ(std::ranges::count(messages, '\n'), static_cast<std::ptrdiff_t>(invalid.mistakes().size()));
    EXPECT_TRUE(std::ranges::is_sorted(invalid.mistakes(), {},
                                       [](const Mistake& mistake) { return std::pair(mistake.line, mistake.column); }));
  }
  const std::string expected = fs::path(GetParam()).replace_extension(".expected").string();
  if (std::getenv("TURNOUT_UPDATE_GOLDEN") != nullptr) std::ofstream(expected) << messages;
  EXPECT_FALSE(messages.empty()) << GetParam() << " was accepted";
  EXPECT_EQ(messages, content(expected));
}

TEST_P(Good, IsAccepted) {
  try {
    const auto config = load(GetParam());
    EXPECT_EQ(config.file, GetParam());
    EXPECT_FALSE(config.deployments.empty());
  } catch (const Invalid& invalid) {
    FAIL() << invalid.what();
  }
}

std::string name_of(const testing::TestParamInfo<std::string>& info) {
  return fs::path(info.param).stem().string();
}

INSTANTIATE_TEST_SUITE_P(Conf, Bad, testing::ValuesIn(files_of("bad")), name_of);
INSTANTIATE_TEST_SUITE_P(Conf, Good, testing::ValuesIn(files_of("good")), name_of);

}  // namespace
}  // namespace turnout::conf
