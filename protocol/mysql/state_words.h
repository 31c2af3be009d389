// What a text may do to its session that the server will not tell in its session state changes: one scan for the words
// that give it away. Never misses one that is written out; what is hidden in a routine is not seen (but for what the
// trackers say of it).
//
// Strings and comments are skipped as the server does; a comment that is executed (/*! … */, /*M! … */) is text. A text
// that ends inside a string or a comment is `unsure`. Pure.
// Source: golden files trackers_…; GET_LOCK, SELECT … INTO @v, @v :=, SQL_CALC_FOUND_ROWS and HANDLER are in no tracker
// (measured on MariaDB 10.11).
#pragma once

#include <cstdint>
#include <string_view>

namespace turnout::protocol::mysql {

// Which of the session_track_… variables a text sets.
struct Tracking {
  static constexpr std::uint8_t schema = 1, system_variables = 2, state_change = 4, transaction_info = 8, others = 16;
  static constexpr std::uint8_t all = schema | system_variables | state_change | transaction_info;
};

struct StateWords {
  bool user_variable = false;   // @name, set or read
  bool lock = false;            // GET_LOCK and its kin: the session holds it until it lets go
  bool table_lock = false;      // LOCK, UNLOCK, FLUSH, BACKUP: of tables, or the whole server
  bool handler = false;         // HANDLER … OPEN
  bool temporary = false;       // CREATE or DROP TEMPORARY
  bool prepares = false;        // SQL's PREPARE, EXECUTE, DEALLOCATE
  bool untold = false;          // SET STATEMENT, ROLE, RESOURCE GROUP: the trackers do not say what stays of it
  std::uint8_t tracking = 0;    // SET session_track_…: what the server tells of its session (bits of Tracking)
  bool diagnostics = false;     // asks for what the statement before it left on the connection
  bool row_count = false;       // it is ROW_COUNT()
  bool found_rows = false;      // it is FOUND_ROWS()
  bool last_insert_id = false;  // likewise, of the one value that can be set again elsewhere
  bool collates = false;        // SET … COLLATE: the trackers tell the character set and not the collation
  bool kills = false;           // KILL: by numbers of the server
  bool plain_set = false;       // nothing but SET and USE: what the trackers say of it by name is all there is
  bool calls = false;           // nothing but CALL: behind each of its results comes another one
  // It has NOWAIT or WAIT n, and calls nothing that may be a stored function: MariaDB tells that its lock_wait_timeouts
  // and its state have changed, and has set them back (measured on 10.11).
  bool waits = false;
  bool unsure = false;  // nothing of the above can be relied on
  [[nodiscard]] bool is_quiet() const {
    return !user_variable && !lock && !table_lock && !handler && !temporary && !prepares && !untold && tracking == 0 &&
           !diagnostics && !last_insert_id && !kills && !unsure;
  }
};
// `has_backslash`: a backslash in a string quotes what follows (status flag no_backslash_escapes is off).
[[nodiscard]] StateWords state_words(std::string_view sql, bool has_backslash);

}  // namespace turnout::protocol::mysql
