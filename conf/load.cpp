#include "conf/load.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <tuple>

#include "conf/document.h"
#include "conf/files.h"
#include "conf/relations.h"
#include "conf/schema.h"
#include "conf/section.h"

namespace turnout::conf {
namespace {

std::string joined(const std::vector<Mistake>& mistakes) {
  std::string text;
  for (const auto& mistake : mistakes) text += (text.empty() ? "" : "\n") + mistake.message();
  return text;
}

[[noreturn]] void refuse(const std::string& file, std::string text) {
  throw Invalid({Mistake{file, 0, 0, {}, std::move(text)}});
}

std::string read_text(const std::string& file) {
  std::error_code code;
  if (std::filesystem::is_directory(file, code)) refuse(file, "is a directory; name the configuration file");
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  if (!stream) refuse(file, "cannot be read: " + std::error_code(errno, std::generic_category()).message());
  // One byte more than is allowed, so that the check in read_document sees that there is more.
  std::string text(text_bytes_max + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  return text;
}

}  // namespace

std::string Mistake::message() const {
  std::string text_before = file;
  if (line > 0) text_before += ":" + std::to_string(line) + ":" + std::to_string(column);
  return text_before + ": " + (key.empty() ? "" : key + ": ") + text;
}

Invalid::Invalid(std::vector<Mistake> mistakes)
    : std::runtime_error(joined(mistakes)), mistakes_(std::move(mistakes)) {}

Config load(const std::string& file) {
  return parse(read_text(file), file);
}

Config parse(const std::string& text, const std::string& file) {
  Walker walker(file);
  const TreeNode root = read_document(text, file, walker.mistakes());
  // A broken document says nothing about what is missing from it; the other mistakes of form leave a tree to read.
  const bool is_unreadable = root.kind == TreeNode::Kind::null && !walker.mistakes().empty();
  Config config;
  if (!is_unreadable) {
    config = read_config(root, walker);
    check_relations(config, walker);
    read_files(config, walker);
  }
  auto& mistakes = walker.mistakes();
  if (!mistakes.empty()) {
    std::ranges::stable_sort(mistakes, {}, [](const Mistake& m) { return std::tuple(m.line, m.column); });
    throw Invalid(std::move(mistakes));
  }
  config.file = file;
  return config;
}

}  // namespace turnout::conf
