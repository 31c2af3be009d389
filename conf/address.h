// Text ↔ conf::Address, the only reader of the four spellings in config.h. Pure.
#pragma once

#include <string_view>

#include "conf/config.h"
#include "conf/quantity.h"

namespace turnout::conf {

// "127.0.0.1:5432", "[::1]:5432", "db.example:5432", "unix:/path". The error says how to write it.
[[nodiscard]] Parsed<Address> parse_address(std::string_view text);

// 127.0.0.0/8, ::1, localhost or a unix socket: nobody outside this machine can reach it.
[[nodiscard]] bool is_local(const Address& address);

// A host that is written as a number: nobody has to be asked where it is.
[[nodiscard]] bool is_numeric(const Address& address);

// Would a second listener on `b` fail, or steal from, the one on `a`? A wildcard host covers every host of its port.
[[nodiscard]] bool overlaps(const Address& a, const Address& b);

}  // namespace turnout::conf
