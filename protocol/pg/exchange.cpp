#include "protocol/pg/exchange.h"

#include <algorithm>
#include <utility>

namespace turnout::protocol::pg {

void Exchange::reset() {
  *this = Exchange{};
}

void Exchange::drop(const Entry& entry) {
  if (entry.request == Request::parse || entry.request == Request::close) dropped_.push_back(entry);
}

void Exchange::sent(Request request, Owner owner, std::uint32_t statement, std::uint32_t ticket) {
  const Entry entry{request, owner, statement, ticket};
  if (skipping_ && request != Request::sync) {
    drop(entry);  // the server reads and ignores it
    return;
  }
  // During COPY FROM STDIN the server ignores Sync: the driver sends another one after CopyDone.
  if (copy_in_ && request == Request::sync) return;
  unsynced_ = request != Request::sync && request != Request::query && request != Request::function_call;
  if (is_empty()) {
    queue_.clear();
    head_ = 0;
  }
  skipping_ = false;
  queue_.push_back(entry);
  if (owner != Owner::client) ++special_;
}

void Exchange::sent_copy_end() {
  if (!copy_in_ && !is_empty()) queue_.push_back({Request::copy_end, Owner::client, 0, 0});
  copy_in_ = false;
}

void Exchange::drop_copy_ends() {
  while (!is_empty() && head().request == Request::copy_end) ++head_;
}

Exchange::Entry Exchange::pop() {
  const Entry entry = queue_[head_++];
  if (entry.owner != Owner::client) --special_;
  drop_copy_ends();
  if (is_empty()) {
    queue_.clear();
    head_ = 0;
  }
  return entry;
}

void Exchange::drop_to_sync() {
  while (!is_empty() && head().request != Request::sync) drop(pop());
  skipping_ = is_empty();
}

bool Exchange::next_fabricated(Entry& entry) {
  if (is_empty() || head().owner != Owner::fabricated) return false;
  entry = pop();
  return true;
}

bool Exchange::owes_preparation() const {
  if (special_ == 0) return false;
  return std::any_of(queue_.begin() + static_cast<std::ptrdiff_t>(head_), queue_.end(), [](const Entry& entry) {
    return entry.owner != Owner::client && (entry.request == Request::parse || entry.request == Request::close);
  });
}

std::size_t Exchange::units_owed() const {
  std::size_t units = 0;
  for (std::size_t i = head_; i < queue_.size(); ++i) {
    const Request request = queue_[i].request;
    units += request == Request::query || request == Request::sync || request == Request::function_call ? 1u : 0u;
  }
  return units;
}

std::vector<Exchange::Entry> Exchange::take_dropped() {
  return std::exchange(dropped_, {});
}

void Exchange::complete(Received& result) {
  result.completed = true;
  result.entry = pop();
}

void Exchange::on_error(Received& result) {
  result.is_error = true;
  copy_in_ = copy_out_ = copy_both_ = false;
  if (is_empty()) return;  // FATAL while idle: the connection is about to end
  const Entry entry = head();
  result.entry = entry;
  switch (entry.request) {
    case Request::query:
    case Request::function_call:
      // ReadyForQuery follows and completes it. An error of our own query is ours to read.
      if (entry.owner == Owner::ours) result.action = Action::swallow;
      break;
    case Request::sync:  // a deferred constraint at the implicit commit: ReadyForQuery follows
      break;
    case Request::parse:
    case Request::bind:
    case Request::describe:
    case Request::execute:
    case Request::close:
    case Request::copy_end:
      // Also when it was ours (a statement prepared again): the client's next message depended on it.
      drop_to_sync();
      break;
  }
}

void Exchange::on_ready(std::uint8_t first, Received& result) {
  result.ready = true;
  copy_in_ = copy_out_ = copy_both_ = false;
  if (first != 'I' && first != 'T' && first != 'E') {
    result.action = Action::protocol_error;
    return;
  }
  status_ = static_cast<char>(first);
  if (is_empty()) {
    result.action = Action::protocol_error;
    return;
  }
  const Entry entry = head();
  if (entry.request != Request::query && entry.request != Request::sync && entry.request != Request::function_call) {
    result.action = Action::protocol_error;
    return;
  }
  if (entry.owner == Owner::ours) result.action = Action::swallow;
  complete(result);
}

void Exchange::on_copy_in() {
  copy_in_ = true;
  if (is_empty() || head().request != Request::execute) {
    const auto end = std::find_if(queue_.begin() + static_cast<std::ptrdiff_t>(head_), queue_.end(),
                                  [](const Entry& entry) { return entry.request == Request::copy_end; });
    if (end == queue_.end()) return;
    queue_.erase(end);
    copy_in_ = false;
    return;
  }
  // Syncs that were already on their way are ignored by the server (55.2.6): they will not be answered.
  std::vector<Entry> kept;
  const bool is_last_ignored = queue_.back().request == Request::sync &&
                               std::none_of(queue_.begin() + static_cast<std::ptrdiff_t>(head_), queue_.end(),
                                            [](const Entry& entry) { return entry.request == Request::copy_end; });
  unsynced_ = unsynced_ || is_last_ignored || queue_.back().request == Request::copy_end;
  for (std::size_t i = head_; i < queue_.size(); ++i) {
    if (copy_in_ && queue_[i].request == Request::copy_end) {
      copy_in_ = false;  // what is behind the end of the data is read again
    } else if (!copy_in_ || queue_[i].request != Request::sync) {
      kept.push_back(queue_[i]);
    } else if (queue_[i].owner != Owner::client) {
      --special_;
    }
  }
  queue_ = std::move(kept);
  head_ = 0;
}

Exchange::Received Exchange::received(char type, std::uint8_t first) {
  Received result;
  switch (type) {
    case 'N':
    case 'S':
    case 'A':
      result.is_asynchronous = true;
      if (!is_empty() && head().owner == Owner::ours && type != 'A') result.action = Action::swallow;
      return result;
    case 'E':
      on_error(result);
      return result;
    case 'Z':
      on_ready(first, result);
      return result;
    default:
      break;
  }
  if (is_empty()) {
    result.action = Action::protocol_error;
    return result;
  }
  const Entry entry = head();
  result.entry = entry;
  if (entry.owner == Owner::ours) result.action = Action::swallow;
  const bool simple = entry.request == Request::query || entry.request == Request::function_call;
  bool fits = false;
  bool ends = false;
  switch (type) {
    case '1':
      fits = ends = entry.request == Request::parse;
      break;
    case '2':
      fits = ends = entry.request == Request::bind;
      break;
    case '3':
      fits = ends = entry.request == Request::close;
      break;
    case 't':
      fits = entry.request == Request::describe;
      break;
    case 'T':
    case 'n':
      fits = entry.request == Request::describe || (simple && type == 'T');
      ends = entry.request == Request::describe;
      break;
    case 'V':
      fits = entry.request == Request::function_call;
      break;
    case 'D':
      fits = simple || entry.request == Request::execute;
      break;
    case 'C':
    case 'I':
    case 's':
      fits = simple || entry.request == Request::execute;
      ends = entry.request == Request::execute;
      copy_out_ = copy_both_ = false;
      copy_in_ = false;
      break;
    case 'G':
      fits = simple || entry.request == Request::execute;
      if (fits) on_copy_in();
      break;
    case 'H':
      fits = simple || entry.request == Request::execute;
      copy_out_ = fits;
      break;
    case 'W':
      fits = simple || entry.request == Request::execute;
      copy_both_ = fits;
      break;
    case 'd':
    case 'c':
      fits = copy_out_ || copy_both_;
      if (type == 'c') copy_out_ = false;
      break;
    default:
      break;
  }
  if (!fits) {
    result.action = Action::protocol_error;
    return result;
  }
  if (ends) complete(result);
  return result;
}

}  // namespace turnout::protocol::pg
