// One line of a preflight: what was looked at, what it measured against which bound, and what to do about it.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace turnout::control {

enum class Verdict : std::uint8_t { pass, warn, fail };
[[nodiscard]] const char* name(Verdict verdict);  // PASS, WARN, FAIL

struct Check {
  std::string name;
  Verdict verdict = Verdict::pass;
  std::string measured;
  std::string bound;
  std::string todo;
  bool waived = false;  // a FAIL or WARN that the operator has accepted by name
};

// A list that grows, one check after the other.
class CheckList {
 public:
  std::vector<Check> checks;

  void pass(const char* name, std::string measured, std::string bound = "");
  void warn(const char* name, std::string measured, std::string bound, std::string todo);
  void fail(const char* name, std::string measured, std::string bound, std::string todo);
  // PASS without findings, else `bad` with the first few of them.
  void verdict(const char* name, Verdict bad, const std::vector<std::string>& findings, std::string fine,
               std::string bound, std::string todo);
};

// "a, b, c and 12 more"
[[nodiscard]] std::string some_of(const std::vector<std::string>& items, std::size_t shown = 8);

[[nodiscard]] boost::json::object to_json(const Check& check);
[[nodiscard]] boost::json::array to_json(const std::vector<Check>& checks);
// Marks what is waived; the names of the failed checks that are not: empty = go.
[[nodiscard]] std::vector<std::string> refusals(std::vector<Check>& checks, const std::vector<std::string>& waive);

}  // namespace turnout::control
