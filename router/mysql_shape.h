// shape.h for texts of MySQL and MariaDB: the same promises, by their lexer.
//
// Words count as written: names of tables may differ in case only. A parenthesis that follows a word without a gap
// begins a call, so the gap counts too.
#pragma once

#include <string>
#include <string_view>

#include "router/shape.h"

namespace turnout::router {

[[nodiscard]] Shape mysql_shape_of(std::string_view sql, const ShapeHash& start);
[[nodiscard]] ShapeHash mysql_outline_of(std::string_view sql, const ShapeHash& start);
[[nodiscard]] std::string mysql_shape_text(std::string_view sql, std::size_t bytes_max);

}  // namespace turnout::router
