#include "conf/document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <string_view>

namespace turnout::conf {
namespace {

Position position_of(const YAML::Mark& mark) {
  return {mark.line + 1, mark.column + 1};
}

// Ends the parse: a limit was hit and reading on would only cost memory.
struct Stop {};

// Builds the tree bottom up from the parser's events. `open_` holds the containers that are not closed yet; a map's
// frame alternates between a key and its value.
class Builder : public YAML::EventHandler {
 public:
  Builder(std::string file, std::vector<Mistake>& mistakes) : file_(std::move(file)), mistakes_(mistakes) {}

  TreeNode take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    count(mark);
    TreeNode node;
    node.at = position_of(mark);
    finish(std::move(node));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    add(position_of(mark), "aliases (*name) are not supported; write the value out");
    TreeNode node;
    node.kind = TreeNode::Kind::refused;
    node.at = position_of(mark);
    finish(std::move(node));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    count(mark);
    TreeNode node;
    node.kind = TreeNode::Kind::scalar;
    node.at = position_of(mark);
    node.scalar = value;
    finish(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(TreeNode::Kind::list, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(TreeNode::Kind::map, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Frame {
    TreeNode node;
    bool has_key = false;
    bool is_duplicate = false;
    std::string key;
    Position key_at;
  };

  void add(Position at, std::string text) {
    std::string path;
    for (const auto& frame : open_) {
      if (frame.has_key) path += (path.empty() ? "" : ".") + frame.key;
    }
    mistakes_.push_back({file_, at.line, at.column, path, std::move(text)});
  }

  void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) add(position_of(mark), "anchors (&name) are not supported; write the value out");
  }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    // "?" is an untagged plain scalar, "!" an untagged quoted one.
    if (!tag.empty() && tag != "?" && tag != "!") add(position_of(mark), "tags (" + tag + ") are not supported");
  }

  void count(const YAML::Mark& mark) {
    if (++nodes_ > nodes_max) {
      add(position_of(mark), "the file has more than " + std::to_string(nodes_max) + " values");
      throw Stop{};
    }
  }

  void open(TreeNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    count(mark);
    if (open_.size() >= depth_max) {
      add(position_of(mark), "nested more than " + std::to_string(depth_max) + " levels deep");
      throw Stop{};
    }
    Frame frame;
    frame.node.kind = kind;
    frame.node.at = position_of(mark);
    open_.push_back(std::move(frame));
  }

  void close() {
    TreeNode node = std::move(open_.back().node);
    open_.pop_back();
    finish(std::move(node));
  }

  // A complete node goes where it belongs: the root, a list, or a map's key or value.
  void finish(TreeNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = open_.back();
    if (frame.node.kind == TreeNode::Kind::list) {
      frame.node.items.push_back(std::move(node));
    } else if (!frame.has_key) {
      take_key(frame, node);
    } else {
      if (!frame.is_duplicate) frame.node.entries.push_back({frame.key, frame.key_at, std::move(node)});
      frame.has_key = false;
    }
  }

  void take_key(Frame& frame, const TreeNode& node) {
    const bool is_word = node.kind == TreeNode::Kind::scalar && !node.scalar.empty();
    if (!is_word) add(node.at, "a key must be a plain word");
    frame.key = is_word ? node.scalar : "?";
    frame.key_at = node.at;
    frame.has_key = true;
    frame.is_duplicate = !is_word;
    if (const Entry* first = frame.node.find(frame.key); is_word && first != nullptr) {
      frame.is_duplicate = true;
      add(node.at, "is written twice; the first is in line " + std::to_string(first->at.line) + ", keep one of them");
    }
  }

  std::string file_;
  std::vector<Mistake>& mistakes_;
  std::vector<Frame> open_;
  std::size_t nodes_ = 0;
  TreeNode root_;
};

// Line and column of a byte, for what is found before the parser runs.
Position position_at(std::string_view text, std::size_t offset) {
  const auto before = text.substr(0, offset);
  const auto line = std::ranges::count(before, '\n');
  const auto start = before.rfind('\n');
  const std::size_t column = start == std::string_view::npos ? offset : offset - start - 1;
  return {static_cast<int>(line) + 1, static_cast<int>(column) + 1};
}

// The parser's own words for a tab are a riddle, and the eye cannot see one.
std::string tab_hint(std::string_view text, int line) {
  std::size_t start = 0;
  for (int i = 0; i < line && start != std::string_view::npos; ++i) {
    start = text.find('\n', start);
    if (start != std::string_view::npos) ++start;
  }
  if (start == std::string_view::npos) return {};
  const auto indent = text.substr(start, text.find_first_not_of(" \t", start) - start);
  return indent.find('\t') == std::string_view::npos ? "" : "; the line begins with a tab, indent with blanks";
}

bool is_control_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7f;
}

}  // namespace

const Entry* TreeNode::find(std::string_view key) const {
  const auto found = std::ranges::find(entries, key, &Entry::key);
  return found == entries.end() ? nullptr : &*found;
}

TreeNode read_document(const std::string& text, const std::string& file, std::vector<Mistake>& mistakes) {
  const auto add = [&](Position at, std::string what) {
    mistakes.push_back({file, at.line, at.column, {}, std::move(what)});
  };
  if (text.size() > text_bytes_max) {
    add({}, "the file has " + std::to_string(text.size()) + " bytes; at most 1 MiB is read");
    return {};
  }
  if (const auto odd = std::ranges::find_if(text, is_control_byte); odd != text.end()) {
    add(position_at(text, static_cast<std::size_t>(odd - text.begin())),
        "a control character; the file must be UTF-8 text");
    return {};
  }
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    Builder builder(file, mistakes);
    if (!parser.HandleNextDocument(builder)) return {};
    TreeNode root = builder.take_root();
    Builder rest(file, mistakes);
    if (parser.HandleNextDocument(rest)) {
      add(rest.take_root().at, "a second document (after ---); a configuration is one document");
    }
    return root;
  } catch (const YAML::Exception& error) {
    add(position_of(error.mark), "not valid YAML: " + error.msg + tab_hint(text, error.mark.line));
  } catch (const Stop&) {
  }
  return {};
}

}  // namespace turnout::conf
