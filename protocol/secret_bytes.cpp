#include "protocol/secret_bytes.h"

#include <openssl/crypto.h>

#include <cstring>
#include <utility>

namespace turnout::protocol {
namespace {

std::pmr::memory_resource*& memory_of_all() {
  static std::pmr::memory_resource* memory = std::pmr::new_delete_resource();
  return memory;
}

}  // namespace

void set_secret_memory(std::pmr::memory_resource& memory) {
  memory_of_all() = &memory;
}

SecretBytes::SecretBytes(std::string_view bytes, Copied) : memory_(memory_of_all()), size_(bytes.size()) {
  if (bytes.empty()) return;
  at_ = static_cast<char*>(memory_->allocate(size_, 1));
  std::memcpy(at_, bytes.data(), size_);
}

SecretBytes::SecretBytes(SecretBytes&& other) noexcept
    : memory_(other.memory_), at_(std::exchange(other.at_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SecretBytes& SecretBytes::operator=(SecretBytes other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(at_, other.at_);
  std::swap(size_, other.size_);
  return *this;
}

void SecretBytes::wipe() {
  if (at_ == nullptr) return;
  OPENSSL_cleanse(at_, size_);
  memory_->deallocate(std::exchange(at_, nullptr), std::exchange(size_, 0), 1);
}

void wipe(std::string& secret) {
  OPENSSL_cleanse(secret.data(), secret.size());
  secret.clear();
}

}  // namespace turnout::protocol
