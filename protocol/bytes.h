// Bytes from outside as values: what the protocols share before they differ. Views only; who gives them keeps them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace turnout::protocol {

using Bytes = std::span<const std::uint8_t>;

[[nodiscard]] inline std::string_view text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
[[nodiscard]] inline Bytes bytes_of(std::string_view view) {
  return {reinterpret_cast<const std::uint8_t*>(view.data()), view.size()};
}

// In a time that does not depend on where they differ: for secrets, and what proves that one is known.
[[nodiscard]] bool is_equal_secretly(std::string_view a, std::string_view b);

}  // namespace turnout::protocol
