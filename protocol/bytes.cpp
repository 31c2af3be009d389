#include "protocol/bytes.h"

#include <openssl/crypto.h>

namespace turnout::protocol {

bool is_equal_secretly(std::string_view a, std::string_view b) {
  return a.size() == b.size() && (a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

}  // namespace turnout::protocol
