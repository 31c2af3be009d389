// The session state changes at the end of an OK message: what a statement changed in its session, as the server tells.
//
// A list of entries (type, length, data); an entry of system variables may have several pairs (MariaDB). Which changes
// are told at all is chosen by the session_track_… variables of the server. Views into the message; no allocation.
// Source: MySQL "OK_Packet", session state information; MariaDB "OK_Packet"; golden files trackers_….
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/mysql/wire.h"

namespace turnout::protocol::mysql {

struct SessionChange {
  enum class Kind : std::uint8_t {
    system_variable = 0,              // name, value
    schema = 1,                       // value: the default database, empty if there is none
    state = 2,                        // value "1": something changed (any tracked state at all)
    gtids = 3,                        // value: sets of "uuid:number"; MariaDB has system variable last_gtid instead
    transaction_characteristics = 4,  // value: statements that start such a transaction again
    transaction_state = 5,            // value: eight characters, see TransactionState
  };
  Kind kind = Kind::state;
  std::string_view name;
  std::string_view value;
};

// Entries one by one; those of kinds not known here are skipped.
class SessionChanges {
 public:
  explicit SessionChanges(Bytes block) : block_(block), pairs_({}) {}
  [[nodiscard]] std::optional<SessionChange> next();
  [[nodiscard]] bool is_malformed() const { return is_malformed_; }

 private:
  std::optional<SessionChange> fail();
  std::optional<SessionChange> next_pair();

  Reader block_;
  Reader pairs_;  // what is left of an entry of system variables
  bool is_malformed_ = false;
};

// Appends one entry.
void put_session_change(std::string& block, const SessionChange& change);

// What "T_r_w_s_S_L"-like eight characters say of the transaction that goes on. Nothing is remembered here.
struct TransactionState {
  bool is_explicit = false;           // T: START TRANSACTION or BEGIN
  bool is_implicit = false;           // I: by autocommit = 0
  bool has_read_unsafe = false;       // r: of a table without transactions
  bool has_read = false;              // R
  bool has_written_unsafe = false;    // w
  bool has_written = false;           // W
  bool has_unsafe_statement = false;  // s: one that is not replicated as it was
  bool has_sent_result = false;       // S: a result set was sent
  bool has_locked_tables = false;     // L: LOCK TABLES
  [[nodiscard]] bool is_open() const { return is_explicit || is_implicit; }
};
[[nodiscard]] std::optional<TransactionState> parse_transaction_state(std::string_view value);

}  // namespace turnout::protocol::mysql
