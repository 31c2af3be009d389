// What one server connection still owes, in order, and what to do with each message it sends.
//
// Every message that goes to the server is announced with sent(); a reply that the server shall not give because we
// answer ourselves (a statement it already has) is announced with fabricate(). Every message that comes back is asked
// with received(). Between two calls it is always true that:
//  - the queue holds, oldest first, exactly the requests whose reply has not been completed;
//  - a fabricated reply is never at the head: next_fabricated() must be drained after each sent/fabricate/received;
//  - after an error in the extended protocol the server skips to the next Sync, so everything queued before it is
//    dropped and reported (dropped()), whether it was sent or fabricated: it did not happen.
// Source: PostgreSQL manual 55.2.2–55.2.7; golden files error_in_pipeline, copy_in, copy_in_extended.
// Pure; one per server connection; reset() when the connection is new.
#pragma once

#include <cstdint>
#include <vector>

#include "protocol/pg/wire.h"

namespace turnout::protocol::pg {

enum class Request : std::uint8_t {
  query,
  parse,
  bind,
  describe,
  execute,
  close,
  sync,
  function_call,
  copy_end,  // CopyDone or CopyFail that went out before the server had answered the COPY; no reply of its own
};

// Whose request it was, hence what happens to its reply.
enum class Owner : std::uint8_t {
  client,      // forwarded
  ours,        // swallowed
  fabricated,  // never sent: we answer when its turn comes
};

class Exchange {
 public:
  struct Entry {
    Request request;
    Owner owner;
    // Of a parse, bind, describe or close the number of the prepared statement it is about, 0 for the unnamed one; of
    // others what the sender likes.
    std::uint32_t statement;
    std::uint32_t ticket;  // what the sender likes
  };

  enum class Action : std::uint8_t {
    forward,
    swallow,
    protocol_error,  // the server sent what nobody asked for: close the connection
  };

  struct Received {
    Action action = Action::forward;
    bool completed = false;  // the head entry is done; `entry` says which
    Entry entry{};
    bool ready = false;  // a ReadyForQuery
    bool is_error = false;
    bool is_asynchronous = false;  // notice, parameter status, notification: belongs to no request
  };

  void sent(Request request, Owner owner = Owner::client, std::uint32_t statement = 0, std::uint32_t ticket = 0);
  void fabricate(Request request, std::uint32_t statement) { sent(request, Owner::fabricated, statement); }
  void sent_copy_end();  // the client's CopyDone or CopyFail went out

  // `first` is the first byte of the body (ReadyForQuery's status), 0 for an empty body.
  [[nodiscard]] Received received(char type, std::uint8_t first);

  // Pops the fabricated entry at the head, if there is one.
  [[nodiscard]] bool next_fabricated(Entry& entry);

  // Entries that an error made void since the last call; cleared by it.
  [[nodiscard]] std::vector<Entry> take_dropped();
  [[nodiscard]] bool has_dropped() const { return !dropped_.empty(); }

  [[nodiscard]] bool is_idle() const { return head_ == queue_.size() && !skipping_; }  // nothing owed
  [[nodiscard]] bool is_simple_only() const { return special_ == 0; }  // no entry needs swallowing or fabricating
  [[nodiscard]] bool owes_preparation() const;   // a parse or close that is not the client's own may yet be dropped
  [[nodiscard]] std::size_t units_owed() const;  // ReadyForQuery messages that are still to come
  // What the server works on is a query of Turnout's own. A statement that Turnout prepares in the client's segment is
  // none: the server says nothing of it before the segment is over.
  [[nodiscard]] bool is_ours_now() const {
    return head_ != queue_.size() && queue_[head_].owner == Owner::ours && queue_[head_].request == Request::query;
  }
  [[nodiscard]] std::size_t owed() const { return queue_.size() - head_; }
  [[nodiscard]] char status() const { return status_; }  // of the last ReadyForQuery: I, T, E
  [[nodiscard]] bool in_transaction() const { return status_ != 'I'; }
  [[nodiscard]] bool in_copy() const { return copy_in_ || copy_out_ || copy_both_; }
  [[nodiscard]] bool in_copy_in() const { return copy_in_; }
  [[nodiscard]] bool is_unsynced() const { return unsynced_; }
  [[nodiscard]] bool is_skipping() const { return skipping_; }
  // No request outstanding, not in COPY, not in a transaction: the one predicate for releasing a connection.
  // Between an extended message and its Sync an implicit transaction is open, even when every reply has come.
  [[nodiscard]] bool is_safe_point() const { return is_idle() && !unsynced_ && !in_copy() && status_ == 'I'; }
  void reset();

 private:
  [[nodiscard]] bool is_empty() const { return head_ == queue_.size(); }
  [[nodiscard]] const Entry& head() const { return queue_[head_]; }
  Entry pop();
  void drop_copy_ends();
  void drop_to_sync();
  void drop(const Entry& entry);
  void on_error(Received& result);
  void on_ready(std::uint8_t first, Received& result);
  void on_copy_in();
  void complete(Received& result);

  std::vector<Entry> queue_;  // [head_, end) is owed; compacted when it runs empty
  std::size_t head_ = 0;
  std::vector<Entry> dropped_;
  std::uint32_t special_ = 0;  // entries not owned by the client
  char status_ = 'I';
  bool skipping_ = false;  // an error met no Sync in the queue: the server ignores all until one comes
  bool unsynced_ = false;  // an extended message went out after the last Sync or Query
  bool copy_in_ = false, copy_out_ = false, copy_both_ = false;
};

}  // namespace turnout::protocol::pg
