// What the last statement of a session has left behind: warnings, ROW_COUNT(), FOUND_ROWS(), LAST_INSERT_ID(). It lies
// on the server connection that ran the statement, and the session may have another one by now.
//
// Always true: what is answered is the session's own, or that of a session that has run nothing yet, or it is refused;
// never what another session has left on the connection. Decides only: no I/O.
#pragma once

#include <cstdint>
#include <string>

#include "protocol/mysql/reply.h"
#include "protocol/mysql/state_words.h"

namespace turnout::proxy::mysql {

class LeftBehind {
 public:
  // Makes a connection answer as one that nothing has run on: no warnings, ROW_COUNT() 0, FOUND_ROWS() 1 (MySQL says 0,
  // until a statement was run; no statement brings that back). A statement
  // that reads no table leaves the warnings as they are; a derived table is one.
  static constexpr const char* blank_sql = "DO (SELECT 1 FROM (SELECT 1) AS nothing)";

  // What has to be done on the connection before a text that asks runs there.
  struct Before {
    bool is_refused = false;  // it is on another connection
    bool is_blank = false;    // `blank_sql`
    bool has_insert_id = false;
    std::uint64_t insert_id = 0;
    std::string signal;  // raises the error that Turnout has answered last; empty: a server has
  };
  [[nodiscard]] Before before(const protocol::mysql::StateWords& words);

  void moved() { is_here_ = has_rows_here_ = has_insert_id_here_ = false; }  // others have had its connection, or will
  void got_rows();
  void lost_rows() { has_rows_here_ = false; }                                // to a SELECT of ours
  void got_count(std::uint64_t affected) { is_count_zero_ = affected == 0; }  // in an OK
  void got_insert_id(std::uint64_t id);
  void ran();                                      // a statement has been answered by the server
  void told(const protocol::mysql::Error& error);  // by Turnout, instead of the server
  void reset();                                    // COM_RESET_CONNECTION was answered

 private:
  bool has_run_ = false;             // any statement at all
  bool has_had_rows_ = false;        // of any
  bool is_here_ = false;             // warnings and ROW_COUNT() of its last statement are on its connection
  bool is_count_zero_ = false;       // ROW_COUNT(), as it is behind what is put before a text
  bool has_rows_here_ = false;       // FOUND_ROWS() is its own there
  bool has_insert_id_here_ = false;  // LAST_INSERT_ID() is its own there
  bool asks_only_ = false;           // the text under way shows what was left: its rows are not counted by FOUND_ROWS()
  std::uint64_t insert_id_ = 0;
  std::string signal_;
};

}  // namespace turnout::proxy::mysql
