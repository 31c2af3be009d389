// What is known of the words and the native functions of MySQL and MariaDB: tables, names only, in lower case.
#pragma once

#include <string_view>

namespace turnout::router {

// A native function that changes nothing and answers alike on both sides, given the same rows. Called by its bare name
// with the parenthesis right behind it: then no stored function can be meant.
[[nodiscard]] bool is_harmless_mysql_function(std::string_view name);
// It changes nothing, but speaks of the server or the session.
[[nodiscard]] bool is_server_mysql_function(std::string_view name);
// A reserved word that a parenthesis may follow without a call.
[[nodiscard]] bool is_mysql_word_before_parenthesis(std::string_view word);
// A type with a length, behind AS in a CAST.
[[nodiscard]] bool is_mysql_type_with_length(std::string_view word);
// A query that has this word, reserved as it is, may write, lock or leave something behind.
[[nodiscard]] bool is_mysql_word_of_a_write(std::string_view word);

}  // namespace turnout::router
