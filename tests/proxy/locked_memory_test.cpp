// What the system says of the memory that secrets lie in.
#include "proxy/locked_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <vector>

#include "protocol/secret_bytes.h"

namespace turnout::proxy {
namespace {

// The sanitizers answer mlock() themselves, and lock nothing.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool locks = false;
#else
constexpr bool locks = true;
#endif

// Of the mapping that `at` lies in.
struct Region {
  std::size_t locked_kib = 0;
  std::string flags;
};

Region region_of(const void* at) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(at);
  std::ifstream maps("/proc/self/smaps");
  Region region;
  bool is_it = false;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::uintptr_t begin = 0, end = 0;
    char dash = 0;
    if (words >> std::hex >> begin >> dash >> end && dash == '-') {
      is_it = begin <= wanted && wanted < end;
    } else if (is_it && line.starts_with("Locked:")) {
      region.locked_kib = std::stoul(line.substr(7));
    } else if (is_it && line.starts_with("VmFlags:")) {
      region.flags = line.substr(8) + " ";
    }
  }
  return region;
}

bool has(const Region& region, std::string_view flag) {
  return region.flags.find(" " + std::string(flag) + " ") != std::string::npos;
}

bool may_lock(std::size_t bytes) {
  const std::vector<char> some(bytes);
  return ::mlock(some.data(), bytes) == 0 && ::munlock(some.data(), bytes) == 0;
}

TEST(LockedMemory, IsLockedAndInNoDump) {
  if (!may_lock(256 * 1024)) GTEST_SKIP() << "nobody may lock 256 KiB here (ulimit -l)";
  LockedMemory memory;
  for (const std::size_t bytes : {1U, 20U, 32U, 33U, 4096U, 4097U, 70'000U}) {
    void* const at = memory.allocate(bytes, 1);
    std::memset(at, 'x', bytes);
    const Region region = region_of(at);
    ASSERT_EQ(memory.state().bytes_refused, 0U) << std::strerror(memory.state().error);
    EXPECT_EQ(has(region, "lo"), locks) << bytes << region.flags;
    EXPECT_TRUE(has(region, "dd")) << region.flags;
    EXPECT_TRUE(has(region, "wf")) << region.flags;
    EXPECT_GE(region.locked_kib, locks ? 4U : 0U);
    memory.deallocate(at, bytes, 1);
  }
  const auto ordinary = std::make_unique<char[]>(64);
  EXPECT_FALSE(has(region_of(ordinary.get()), "dd")) << "the test would say so of anything";
}

TEST(LockedMemory, NothingIsLeftOfASecretThatWasGivenUp) {
  ASSERT_EQ(lock_secrets(), "");
  const char* at = nullptr;
  {
    const protocol::SecretBytes secret("correct horse, battery staple");
    at = secret.begin();
    EXPECT_TRUE(has(region_of(at), "dd"));
    EXPECT_EQ(std::string_view(at, 7), "correct");
  }
  for (std::size_t i = 0; i < 29; ++i) EXPECT_EQ(at[i], 0) << i;  // the piece stays, so this may be looked at
}

TEST(LockedMemory, ManySecretsShareFewPages) {
  LockedMemory memory;
  std::vector<void*> taken;
  for (int i = 0; i < 10'000; ++i) taken.push_back(memory.allocate(20, 1));
  EXPECT_LE(memory.state().bytes, 10'000U * 32 + 32 * 1024);
  for (void* at : taken) memory.deallocate(at, 20, 1);
  const std::size_t before = memory.state().bytes;
  for (int i = 0; i < 10'000; ++i) static_cast<void>(memory.allocate(30, 1));
  EXPECT_EQ(memory.state().bytes, before) << "what was given up is used again";
}

// In a process of its own. What it says, and 0: the secret is there and in no dump, though not locked.
[[noreturn]] void keep_a_secret_without_the_right_to_lock() {
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_MEMLOCK, &none) != 0) ::_exit(2);
  if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(3);
  std::cerr << lock_secrets() << std::endl;
  const protocol::SecretBytes secret(std::string_view("correct horse"));
  const Region region = region_of(secret.begin());
  ::_exit(has(region, "dd") && !has(region, "lo") && secret.view() == "correct horse" ? 0 : 4);
}

TEST(LockedMemoryDeathTest, WithoutTheRightItSaysSoAndGoesOn) {
  if (!locks) GTEST_SKIP() << "mlock() cannot fail here";
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(keep_a_secret_without_the_right_to_lock(), testing::ExitedWithCode(0),
              "passwords may be swapped out: 32768 of 32768 bytes cannot be locked .*RLIMIT_MEMLOCK is 0 bytes");
}

}  // namespace
}  // namespace turnout::proxy
