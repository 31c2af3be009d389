// What is kept of a secret, and that nothing is left of it.
#include "protocol/secret_bytes.h"

#include <gtest/gtest.h>

#include <array>
#include <utility>

namespace turnout::protocol {
namespace {

constexpr std::string_view password = "correct horse, battery staple";

// Everything in one place, so that it can be looked at when it has been given up.
class Field final : public std::pmr::memory_resource {
 public:
  Field() { set_secret_memory(*this); }
  ~Field() override { set_secret_memory(*std::pmr::new_delete_resource()); }
  [[nodiscard]] bool has(std::string_view text) const {
    return std::string_view(bytes_.data(), used_).find(text) != std::string_view::npos;
  }
  std::size_t open = 0;

 private:
  void* do_allocate(std::size_t bytes, std::size_t) override {
    ++open;
    return bytes_.data() + std::exchange(used_, used_ + bytes);
  }
  void do_deallocate(void*, std::size_t, std::size_t) override { --open; }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  std::array<char, 4096> bytes_{};
  std::size_t used_ = 0;
};

TEST(SecretBytes, LieWhereTheyShallAndAreWiped) {
  Field field;
  {
    SecretBytes secret(password);
    EXPECT_TRUE(field.has(password));
    EXPECT_EQ(secret.view(), password);
    const SecretBytes copy = secret;
    secret.wipe();
    EXPECT_TRUE(secret.empty());
    EXPECT_EQ(copy.view(), password);
    EXPECT_EQ(field.open, 1U);
  }
  EXPECT_EQ(field.open, 0U);
  EXPECT_FALSE(field.has("correct"));
  EXPECT_FALSE(field.has("horse"));
  EXPECT_FALSE(field.has("staple"));
}

TEST(SecretBytes, AssigningWipesWhatWasThere) {
  Field field;
  SecretBytes secret(password);
  secret = SecretBytes("another one, and no less secret");
  EXPECT_FALSE(field.has("horse"));
  SecretBytes moved = std::move(secret);
  EXPECT_EQ(moved.view(), "another one, and no less secret");
  EXPECT_EQ(field.open, 1U);
  SecretBytes& self = moved;
  moved = self;
  EXPECT_EQ(moved.view(), "another one, and no less secret");
  moved = {};
  EXPECT_FALSE(field.has("another"));
  EXPECT_EQ(field.open, 0U);
}

TEST(SecretBytes, OneThatWasMadeElsewhereGoesBackThere) {
  SecretBytes ordinary(password);
  {
    Field field;
    SecretBytes kept(password);
    std::swap(ordinary, kept);
    EXPECT_EQ(field.open, 1U);
    ordinary = {};
    EXPECT_EQ(field.open, 0U);
    EXPECT_EQ(kept.view(), password);
  }
}

TEST(SecretBytes, AreEqualByTheirBytes) {
  EXPECT_TRUE(SecretBytes("a") == SecretBytes("a"));
  EXPECT_FALSE(SecretBytes("a") == SecretBytes("b"));
  EXPECT_FALSE(SecretBytes("a") == std::string_view("ab"));
  EXPECT_TRUE(SecretBytes() == std::string_view());
  EXPECT_TRUE(SecretBytes(std::string_view("a\0b", 3)) == std::string_view("a\0b", 3));
}

TEST(Wipe, LeavesNothing) {
  std::string text(password);
  const char* const at = text.data();
  wipe(text);
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(std::string_view(at, password.size()).find("horse"), std::string_view::npos)
      << "its place is still its own";
}

}  // namespace
}  // namespace turnout::protocol
