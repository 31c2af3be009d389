// YAML file → Config, or every mistake at once.
//
// Errors are sorted by position and read "file:line:column: key: what is wrong; did you mean X?".
// Keys, types and defaults are those of conf/config.h; conf/README.md lists them with their YAML names.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "conf/config.h"

namespace turnout::conf {

struct Mistake {
  std::string file;
  int line = 0;     // from 1; 0 = the file as a whole
  int column = 0;   // from 1
  std::string key;  // dotted path, e.g. deployments.app.pool.size
  std::string text;

  [[nodiscard]] std::string message() const;
};

// All mistakes of one file; what() has one per line.
class Invalid : public std::runtime_error {
 public:
  explicit Invalid(std::vector<Mistake> mistakes);
  [[nodiscard]] const std::vector<Mistake>& mistakes() const { return mistakes_; }

 private:
  std::vector<Mistake> mistakes_;
};

// Throws Invalid. Reads the file and the secret files it names, nothing else.
[[nodiscard]] Config load(const std::string& file);
// The same from text; `file` is only used in messages and to resolve nothing.
[[nodiscard]] Config parse(const std::string& text, const std::string& file);

}  // namespace turnout::conf
