#include "proxy/cancel_key.h"

#include "protocol/pg/scram.h"
#include "protocol/pg/wire.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

std::string cancel_key(std::string_view process_secret, std::uint32_t session_number, std::uint32_t secret,
                       bool is_long) {
  std::string key;
  if (!is_long) {
    pg::Writer(key).u32(secret);
    return key;
  }
  std::string text = "cancel ";
  pg::Writer(text).u32(session_number).u32(secret);
  const pg::ScramKey mac = pg::hmac_sha256(process_secret, text);
  key.assign(mac.begin(), mac.end());
  return key;
}

bool is_cancel_key(std::string_view shown, std::string_view process_secret, std::uint32_t session_number,
                   std::uint32_t secret, bool is_long) {
  return pg::is_equal_secretly(shown, cancel_key(process_secret, session_number, secret, is_long));
}

}  // namespace turnout::proxy
