// Walks a stream of messages that is only passed on: says the type of each message and its first byte, keeps nothing of
// the rest. For streams in which only a few messages matter (replication: megabytes of CopyData between two of them).
//
// Always true: however the stream is cut into pieces, the same messages are reported, each once, in order.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "protocol/pg/wire.h"

namespace turnout::protocol::pg {

class FrameWalk {
 public:
  // Calls on_message(type, first byte of the body or 0) for each message as soon as that byte is here. false: a
  // malformed length; nothing after it can be understood.
  template <typename OnMessage>
  [[nodiscard]] bool feed(Bytes data, OnMessage on_message) {
    while (!data.empty()) {
      if (have_ < header_bytes) {
        const std::size_t part = std::min(header_bytes - have_, data.size());
        std::copy_n(data.begin(), part, header_.begin() + static_cast<std::ptrdiff_t>(have_));
        have_ += part;
        data = data.subspan(part);
        if (have_ < header_bytes) return true;
        const std::uint32_t length = load_u32(header_.data() + 1);
        if (length < 4 || length > length_max) return false;
        left_ = length - 4;
        is_reported_ = left_ == 0;
        if (is_reported_) {
          have_ = 0;
          on_message(static_cast<char>(header_[0]), std::uint8_t{0});
        }
        continue;
      }
      if (!is_reported_) {
        is_reported_ = true;
        on_message(static_cast<char>(header_[0]), data.front());
      }
      const std::size_t part = std::min<std::size_t>(left_, data.size());
      left_ -= static_cast<std::uint32_t>(part);
      data = data.subspan(part);
      if (left_ == 0) have_ = 0;
    }
    return true;
  }

  [[nodiscard]] bool is_between_messages() const { return have_ == 0; }

 private:
  static constexpr std::uint32_t length_max = 1'073'741'823;  // the server's own limit
  std::array<std::uint8_t, header_bytes> header_{};
  std::size_t have_ = 0;
  std::uint32_t left_ = 0;
  bool is_reported_ = false;
};

}  // namespace turnout::protocol::pg
