// Private to the two login conversations: the words and limits they share.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/pg/wire.h"

namespace turnout::protocol::pg {

// Codes of the Authentication message, manual 55.7.
enum class Authentication : std::uint32_t {
  ok = 0,
  cleartext = 3,
  md5 = 5,
  sasl = 10,
  sasl_continue = 11,
  sasl_final = 12,
};

[[nodiscard]] inline std::string authentication_message(Authentication code, std::string_view payload = {}) {
  std::string out;
  Writer(out).begin('R').u32(static_cast<std::uint32_t>(code)).raw(payload).end();
  return out;
}

inline constexpr std::string_view scram_name = "SCRAM-SHA-256";
inline constexpr std::string_view scram_plus_name = "SCRAM-SHA-256-PLUS";
inline constexpr std::string_view gs2_plus_header = "p=tls-server-end-point,,";

// No honest login message comes near; a peer that is not logged in must not make us work on more.
inline constexpr std::size_t login_message_bytes_max = 4096;
inline constexpr std::size_t scram_nonce_bytes_max = 512;

}  // namespace turnout::protocol::pg
