// A secret that is kept: a password, or what logs in as one. Its bytes lie where the process has set aside memory for
// such (proxy/locked_memory.h), and are overwritten when they are given up.
//
// Always true: the bytes have one owner and one place. What is only passing (a packet, a text that is made of it) is
// ordinary memory, and wiped by who made it. May be used from any thread, each object from one at a time.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory_resource>
#include <string>
#include <string_view>

#include "protocol/bytes.h"

namespace turnout::protocol {

class SecretBytes {
 public:
  SecretBytes() = default;
  template <typename Text>
  requires(std::convertible_to<const Text&, std::string_view> && !std::same_as<Text, SecretBytes>)
      SecretBytes(const Text& bytes)
      : SecretBytes(std::string_view(bytes), Copied{}) {}
  SecretBytes(const SecretBytes& other) : SecretBytes(other.view(), Copied{}) {}
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes other) noexcept;
  ~SecretBytes() { wipe(); }

  void wipe();  // empty then
  [[nodiscard]] std::string_view view() const { return {at_, size_}; }
  operator std::string_view() const { return view(); }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] const char* begin() const { return at_; }
  [[nodiscard]] const char* end() const { return at_ + size_; }
  [[nodiscard]] char operator[](std::size_t at) const { return at_[at]; }

  friend bool operator==(const SecretBytes& a, const SecretBytes& b) { return is_equal_secretly(a.view(), b.view()); }
  friend bool operator==(const SecretBytes& a, std::string_view b) { return is_equal_secretly(a.view(), b); }

 private:
  struct Copied {};
  SecretBytes(std::string_view bytes, Copied);

  std::pmr::memory_resource* memory_ = nullptr;
  char* at_ = nullptr;
  std::size_t size_ = 0;
};

// Overwrites what was secret.
void wipe(std::string& secret);

// For all secrets from now on; it outlives them. Ordinary memory else.
void set_secret_memory(std::pmr::memory_resource& memory);

}  // namespace turnout::protocol
