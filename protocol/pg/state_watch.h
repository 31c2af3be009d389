// What a SQL text may do to the session's state on the server, found by one bounded scan for trigger words: no parser,
// no allocation when nothing is found. It errs on the side of saying too much: an effect `unknown` pins the session to
// its server connection, which is always correct.
//
// Runs once for each new text (Query: each; Parse: once, kept with the prepared statement). Comments, string literals,
// dollar quotes and quoted identifiers are skipped as the server's lexer does with standard_conforming_strings on and
// backslashes in E'' (PostgreSQL manual 4.1).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace turnout::protocol::pg {

enum class EffectKind : std::uint8_t {
  begin,      // BEGIN, START TRANSACTION; name: "read only" | "read write" | "" ; value: the whole statement
  end,        // COMMIT, END, ROLLBACK, ABORT (not TO SAVEPOINT, not PREPARED); name "chain": AND CHAIN, a new
              // transaction with the same modes is open at once
  savepoint,  // SAVEPOINT, RELEASE, ROLLBACK TO; name: the savepoint's, value: "savepoint", "release", "rollback to"
  prepare_transaction,  // PREPARE TRANSACTION
  finish_prepared,      // COMMIT PREPARED, ROLLBACK PREPARED
  set,              // SET [SESSION] name = value, name lower case, value: the text after = or TO, trimmed, as written
  set_local,        // SET LOCAL; set_config(…, true), name: "" where it is not known
  reset,            // RESET name; SET name TO DEFAULT
  reset_all,        // RESET ALL
  set_transaction,  // SET TRANSACTION; name: "read only" | "read write" | ""
  set_characteristics,  // SET SESSION CHARACTERISTICS AS TRANSACTION; name as above (its other modes: set)
  set_role,    // SET ROLE x, SET SESSION AUTHORIZATION x, RESET ROLE, RESET SESSION AUTHORIZATION: name role or
               // session_authorization, value as written ("" = reset)
  set_config,  // a call of set_config() of which more is not proven, or a DO block that may do the like
  set_string,  // set_config(name, value, false), proven; value: the string itself, not SQL
  discard_all,
  discard_other,
  prepare,
  deallocate,
  deallocate_all,  // SQL level PREPARE / DEALLOCATE (name)
  listen,
  unlisten,
  unlisten_all,     // name
  notify,           // NOTIFY, or a call of pg_notify()
  temp_object,      // CREATE TEMP / TEMPORARY, SELECT INTO TEMP, pg_temp mentioned
  hold_cursor,      // DECLARE … WITH HOLD
  advisory_lock,    // name: the function; a call of pg_advisory_lock / pg_try_advisory_lock and _shared (session level,
                    // not _xact_)
  advisory_unlock,  // pg_advisory_unlock*, pg_advisory_unlock_all
  load,             // LOAD 'library'
  unknown,          // text longer than the bound, unterminated literal, DO / CALL (may do anything); name says why
};
[[nodiscard]] std::string_view name_of(EffectKind kind);

struct Effect {
  EffectKind kind;
  std::string name;
  std::string value;
  std::uint32_t statement = 0;  // which of the text, from 0
};

struct Watch {
  std::vector<Effect> effects;   // in text order; empty for almost every statement
  std::uint32_t statements = 0;  // non-empty statements in the text
};

inline constexpr std::size_t watch_bytes_max = 1024 * 1024;

// The fast question, called for every text: false means "no effect at all", and it is exact in that direction.
[[nodiscard]] bool may_touch_state(std::string_view sql);
// The full answer. What it cannot see: a function of the application that sets something, and SQL-level EXECUTE of what
// an earlier PREPARE said (the effects of the prepared text are reported at the PREPARE). With
// standard_conforming_strings off the literals end elsewhere: treat such a session as unknown.
[[nodiscard]] Watch watch_state(std::string_view sql);

}  // namespace turnout::protocol::pg
