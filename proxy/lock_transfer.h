// How far a session's advisory locks are on their way to the other side: while a hold is on, a session that only these
// locks pin takes the same ones there as well, and only then is its connection no longer what a drain waits for. Only
// such sessions have one, and only while a hold is on; session_locks.cpp has the steps.
//
// Always true:
//  - `old` is set exactly while the session is parked: the connection is the session's and has its locks, it is idle,
//    counts as sealed (Pool::is_sealed), and the session has no lease;
//  - `fresh` is leased to the session, has no other work, and is cleaned before anybody else gets it;
//  - no lock is let go on `old` before the same one is held on `fresh`, and none is claimed that is not held.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/pg/advisory_lock.h"
#include "proxy/server_connection.h"

namespace turnout::proxy {

struct LockTransfer {
  enum class Stage : std::uint8_t {
    waiting,    // until next_ms
    asking,     // which locks does its connection hold?
    asked,      // they are known
    taking,     // on their way on `fresh`
    parked,     // held on both sides
    proving,    // the hold is over: may the connection that it goes on with write?
    releasing,  // `old` lets go of each of them once,
    draining,   // … and of what it held more often
    repeating,  // `fresh` takes that as often
  };
  Stage stage = Stage::waiting;
  bool comes_back = false;  // the writer has not changed
  // It took its first lock when the hold was on: the fence may stand already, so its next work waits for the parking.
  bool holds_work = false;
  ServerConnection* old = nullptr;
  ServerConnection* fresh = nullptr;
  ServerConnection* asked = nullptr;   // who owes an answer
  ServerConnection* broken = nullptr;  // who said something that nobody asked for
  bool has_failed = false;             // the query that is being answered
  // Its statement that waits for a lock is being cancelled, to wait on the other side: the answer is kept back.
  bool is_cancelling = false;
  std::uint64_t since_ms = 0;
  std::uint32_t work = 0;      // the session's latest when it asked
  std::uint64_t next_ms = 0;   // waiting: then again; else: the answer is given up
  std::uint64_t until_ms = 0;  // the hold is over: by then it goes on, or ends
  protocol::pg::AdvisoryLocks locks;
  protocol::pg::AdvisoryLocks more;  // of them, held more than once
  std::vector<std::string> rows;
  std::string refusal;  // why it stays where it is, for people

  [[nodiscard]] bool is_parked() const { return old != nullptr; }
};

}  // namespace turnout::proxy
