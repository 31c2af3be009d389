// The key that a client must show to cancel: 4 bytes in protocol 3.0, 32 in 3.2.
//
// A session keeps 4 random bytes. They are the short key; the long one is their HMAC under a secret of this process,
// with the session's number in it: as hard to guess as 32 random bytes, and an idle client does not have to own those.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace turnout::proxy {

[[nodiscard]] std::string cancel_key(std::string_view process_secret, std::uint32_t session_number,
                                     std::uint32_t secret, bool is_long);
// In a time that does not depend on where they differ.
[[nodiscard]] bool is_cancel_key(std::string_view shown, std::string_view process_secret, std::uint32_t session_number,
                                 std::uint32_t secret, bool is_long);

}  // namespace turnout::proxy
