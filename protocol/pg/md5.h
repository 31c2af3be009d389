// The md5 password scheme of the Postgres protocol (manual 55.2.1, AuthenticationMD5Password).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace turnout::protocol::pg {

// "md5" and 32 lower case hex digits.
[[nodiscard]] bool is_md5_secret(std::string_view text);
// What the server keeps: "md5" + hex(md5(password + user)). Empty when OpenSSL refuses MD5 (FIPS).
[[nodiscard]] std::optional<std::string> md5_secret(std::string_view user, std::string_view password);
// What goes over the wire: "md5" + hex(md5(secret without "md5" + salt)).
[[nodiscard]] std::optional<std::string> md5_answer(std::string_view secret, const std::array<std::uint8_t, 4>& salt);

}  // namespace turnout::protocol::pg
