#include "tests/router/corpus.h"

#include <fstream>
#include <stdexcept>

namespace turnout::router::test {

namespace {

// \n \r \\ ; any other backslash is itself.
std::string unescaped(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    if (next == 'n' || next == 'r' || next == '\\') {
      out += next == 'n' ? '\n' : next == 'r' ? '\r' : '\\';
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

std::vector<CorpusRow> read_corpus(const std::string& name) {
  std::ifstream file(TURNOUT_SOURCE_DIR "/tests/router/" + name);
  std::vector<CorpusRow> rows;
  std::string text;
  for (int line = 1; std::getline(file, text); ++line) {
    if (text.empty() || text[0] == '#') continue;
    const std::size_t first = text.find('\t');
    const std::size_t second = text.find('\t', first + 1);
    if (second == std::string::npos) throw std::runtime_error(name + ": no two tabs in line " + std::to_string(line));
    const std::string verdict = text.substr(0, first);
    const std::string path = text.substr(first + 1, second - first - 1);
    CorpusRow row{line, Verdict::write, false, path == "-" ? "" : path, unescaped(text.substr(second + 1))};
    if (verdict == "read") {
      row.verdict = Verdict::read;
    } else if (verdict == "read_writer") {
      row.verdict = Verdict::read_writer;
    } else if (verdict == "missed") {
      row.is_missed = true;
    } else if (verdict != "write") {
      throw std::runtime_error(name + ": unknown verdict in line " + std::to_string(line));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace turnout::router::test
