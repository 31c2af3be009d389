// Bytes on their way out of one reading: ranges kept as they were read, and messages of our own between them.
//
// As long as only one unbroken range is kept, nothing is copied: the range is sent from the buffer it was read into.
// The first message of our own, or a gap, copies what came before into the scratch string. Belongs to the worker and
// is used for one reading at a time; view() is valid until the next clear() and while the read buffer is untouched.
#pragma once

#include <string>
#include <string_view>

#include "protocol/pg/wire.h"

namespace turnout::proxy {

class Outgoing {
 public:
  void clear() {
    scratch_.clear();
    range_ = {};
  }

  void keep(protocol::pg::Bytes bytes) {
    if (range_.empty()) {
      range_ = bytes;
    } else if (range_.data() + range_.size() == bytes.data()) {
      range_ = {range_.data(), range_.size() + bytes.size()};
    } else {
      flush();
      range_ = bytes;
    }
  }

  // The string to append own messages to.
  [[nodiscard]] std::string& own() {
    flush();
    return scratch_;
  }

  [[nodiscard]] std::string_view view() {
    if (scratch_.empty()) return protocol::pg::text(range_);
    flush();
    return scratch_;
  }
  [[nodiscard]] bool empty() const { return scratch_.empty() && range_.empty(); }

 private:
  void flush() {
    if (range_.empty()) return;
    scratch_.append(protocol::pg::text(range_));
    range_ = {};
  }

  std::string scratch_;
  protocol::pg::Bytes range_;
};

}  // namespace turnout::proxy
