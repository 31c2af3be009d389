// The part of a server connection that bytes pass through, inline: each protocol's own reading is compiled into it, so
// that sharing it costs no call.
#pragma once

#include <cstring>
#include <string>

#include "proxy/connection.h"
#include "proxy/worker.h"

namespace turnout::proxy {

template <typename Take>
bool Connection::read_all(bool is_ending, Take take) {
  const Client* const session = session_;
  do {
    const std::span<std::uint8_t> buffer = worker().buffer();
    const std::size_t had = input_.size();
    std::memcpy(buffer.data(), input_.data(), had);
    const IoResult got = transport_.read(buffer.subspan(had));
    if (got.status == IoStatus::would_block) break;
    if (got.status != IoStatus::ok) {
      lost(transport_.error().empty() ? "the server ended the connection" : transport_.error());
      return false;
    }
    if (had + got.bytes == buffer.size() || is_ending)
      worker().loop.change(transport_.fd(), transport_.wanted(events_), *this);
    const protocol::Bytes data = buffer.first(had + got.bytes);
    const std::size_t used = take(data);
    if (state_ == State::closed || session_ != session) return false;
    if (used < data.size())
      input_.assign(protocol::text(data.subspan(used)));
    else if (!input_.empty())
      input_.clear();
  } while (!reading_paused_ && transport_.has_pending());
  return true;
}

}  // namespace turnout::proxy
