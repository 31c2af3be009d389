// What one server connection still owes, in order, and what each packet it sends means for its session.
//
// Every command that goes to the server is announced with sent(); one whose answer we give ourselves, when its turn
// comes, with fabricate(). Every packet that comes back, parts of one message too, is asked with received(). It is
// always true that:
//  - the queue holds, oldest first, exactly the commands whose answer is not complete (commands without an answer, such
//    as COM_STMT_CLOSE, are never in it);
//  - a fabricated answer is never at the head: next_fabricated() must be drained after each sent/fabricate/received;
//  - the numbers of packets were right, or the answer was protocol_error;
//  - status() is what the last OK or EOF said. An error says nothing of it: is_status_known() is false until the next
//    OK or EOF, and until then no connection is given back.
// An answer ends: simple ones with OK, EOF or ERR; results with the last OK or end of rows that announces no more of
// them, or with ERR at any place; a cursor's opening behind its columns. Both forms of the end of rows are understood
// (capability DEPRECATE_EOF or not), and LOCAL INFILE, and progress reports.
// Source: MySQL "Command Phase"; MariaDB "Result Set Packets"; golden files; facts of reference tests in golden_test.
// Pure; one per server connection; begin() when the connection is new.
#pragma once

#include <cstdint>
#include <vector>

#include "protocol/mysql/command.h"
#include "protocol/mysql/reply.h"

namespace turnout::protocol::mysql {

// Whose command it was, hence what happens to its answer.
enum class Owner : std::uint8_t {
  client,      // forwarded
  ours,        // swallowed
  fabricated,  // never sent: we answer when its turn comes
};

class Exchange {
 public:
  struct Entry {
    Command command = Command::ping;
    Owner owner = Owner::client;
    bool opens_cursor = false;       // an execution that asked for one
    bool calls = false;              // it is CALL: each of its results is followed by another one
    std::uint8_t answer_number = 1;  // of the first packet of the answer: how many packets the command had; kept here
    std::uint32_t statement = 0;     // the server's number, of commands about a statement
    std::uint32_t ticket = 0;        // what the sender likes
  };

  enum class Action : std::uint8_t {
    forward,
    swallow,
    protocol_error,  // the server sent what nobody asked for, or what cannot be: close the connection
  };

  // What a message is. Those from `ok` on carry what a proxy may want to read, and come whole (wants_whole).
  enum class Kind : std::uint8_t {
    continuation,  // a further part of the message before
    row,
    column,    // definition of a column or a parameter
    progress,  // MariaDB's report; the answer goes on
    line,      // text
    login,     // part of a login conversation
    infile,    // the server asks for a file of the client's: infile_sent() tells that all of it, or nothing, went out
    columns,   // how many columns follow
    ok,        // 0x00
    prepared,  // the number of a statement, and how many parameters and columns follow
    eof,       // behind columns or parameters, without DEPRECATE_EOF; nothing ends with it
    end,       // of rows or definitions, and answers written as such: EOF, or OK that begins with 0xfe
    error,
  };

  struct Received {
    Action action = Action::forward;
    Kind kind = Kind::row;
    bool unasked = false;      // the server's last words, an error with number 0: it closes an idle connection
    bool completed = false;    // the head entry is done; `entry` says which
    bool ends_result = false;  // ok, end or error: one of the results of the command is over
    // Lists of definitions that end with this message, one of which was left out too: each has an `eof` behind it where
    // there are such.
    std::uint8_t ended_lists = 0;
    std::uint16_t status = 0;     // ok, eof, end
    std::uint16_t warnings = 0;   // ok, prepared, eof, end
    std::uint32_t statement = 0;  // prepared
    // ok, end, where written as an OK; `changes` (reply.h) is part of the payload.
    std::uint64_t affected_rows = 0, last_insert_id = 0;
    std::string_view changes{};
    Entry entry{};
  };

  // The connection is new: after the login, with what was agreed on and the status of the OK that ended it.
  void begin(Capabilities capabilities, std::uint16_t status);

  void sent(Entry entry);
  void sent_more();  // a further packet of the command announced last
  void fabricate(Command command, std::uint32_t statement, std::uint32_t ticket = 0);
  // The empty packet that ends the client's file went out with this number; or: a packet of a login conversation.
  void infile_sent(std::uint8_t number);
  void login_sent(std::uint8_t number) { next_number_ = static_cast<std::uint8_t>(number + 1); }

  // True: give received() the whole payload of this message. Only rows, columns and lines may come in pieces, so what
  // has to be whole is small; a limit is the caller's (message_bytes_max is enough).
  [[nodiscard]] bool wants_whole(const Header& header, std::uint8_t first) const;
  static constexpr std::uint32_t message_bytes_max = 1U << 20;
  // `payload`: as much of the packet as is there, one byte at least unless the packet is empty.
  [[nodiscard]] Received received(const Header& header, Bytes payload);

  // In the midst of a client's rows: how many bytes from the beginning of `data` are whole rows and nothing else, to be
  // forwarded as they are. They count as received.
  [[nodiscard]] std::size_t take_rows(Bytes data);

  // Pops the fabricated entry at the head, if there is one.
  [[nodiscard]] bool next_fabricated(Entry& entry);

  [[nodiscard]] Capabilities capabilities() const { return capabilities_; }
  [[nodiscard]] bool is_idle() const { return head_ == queue_.size() && !is_inside_; }  // nothing owed
  [[nodiscard]] std::size_t owed() const { return queue_.size() - head_; }
  // Of the answer that has begun: the number that its next packet must have.
  [[nodiscard]] std::uint8_t next_number() const { return next_number_; }
  [[nodiscard]] bool is_client_only() const { return special_ == 0; }  // nothing to swallow or to fabricate
  [[nodiscard]] bool is_ours_now() const { return !is_empty() && queue_[head_].owner == Owner::ours; }
  [[nodiscard]] bool awaits_infile() const { return state_ == State::infile; }
  [[nodiscard]] bool awaits_login() const { return state_ == State::login; }
  [[nodiscard]] std::uint16_t status() const { return status_; }
  [[nodiscard]] bool is_status_known() const { return is_status_known_; }
  [[nodiscard]] bool in_transaction() const { return (status_ & status::in_transaction) != 0; }
  [[nodiscard]] bool is_autocommit() const { return (status_ & status::autocommit) != 0; }
  // A cursor is open, or parameters were sent ahead of an execution: they are of this connection alone.
  [[nodiscard]] bool has_statement_state() const { return !cursors_.empty() || !long_data_.empty(); }
  // Nothing owed, surely in no transaction, nothing left lying on the server: the one predicate for giving it back.
  [[nodiscard]] bool is_safe_point() const {
    return is_idle() && is_status_known_ && !in_transaction() && !has_statement_state();
  }

 private:
  // Where in the answer of the head entry the next message is.
  enum class State : std::uint8_t {
    first,             // of the answer, or of its next result
    columns,           // `left_` definitions, then `eof` or rows
    columns_end,       // EOF behind the columns
    rows,              // until end
    parameters,        // of a preparation: `left_` definitions
    parameters_end,    // EOF behind them
    prepared_columns,  // `left_` definitions
    prepared_columns_end,
    definitions,  // until end
    infile,       // the server waits for the client's bytes
    login,        // a conversation
  };

  [[nodiscard]] bool is_empty() const { return head_ == queue_.size(); }
  [[nodiscard]] const Entry& head() const { return queue_[head_]; }
  [[nodiscard]] bool has_eof() const { return (capabilities_ & capability::deprecate_eof) == 0; }
  void enter_head();
  Entry pop();
  void note_sent(const Entry& entry);
  void note_status(std::uint16_t status);
  bool take_number(const Header& header, Bytes payload);
  bool take_end(Bytes payload, Received& result);
  bool take_ok(Bytes payload, Received& result);
  void take_error(Bytes payload, Received& result);
  bool take_simple(Bytes payload, Received& result);
  bool take_first(Bytes payload, Received& result);
  bool take_first_of_results(Bytes payload, Received& result);
  bool take_prepared(Bytes payload, Received& result);
  bool take_column(Received& result);
  bool take_column_or_end(const Header& header, Bytes payload, Received& result);
  bool take_eof(Bytes payload, Received& result);
  bool take_login(Bytes payload, Received& result);
  bool take_row_or_end(const Header& header, Bytes payload, Received& result);
  bool take_message(const Header& header, Bytes payload, Received& result);
  void enter_parameters(std::uint16_t parameters);
  void enter_prepared_columns();
  void end_result(Received& result);
  void complete(Received& result);
  void note_cursor(const Entry& entry, std::uint16_t status);

  std::vector<Entry> queue_;  // [head_, end) is owed; compacted when it runs empty
  std::size_t head_ = 0;
  std::vector<std::uint32_t> cursors_;    // statements with an open cursor
  std::vector<std::uint32_t> long_data_;  // statements with parameters sent ahead
  Capabilities capabilities_ = 0;
  std::uint32_t special_ = 0;           // entries not owned by the client
  std::uint32_t left_ = 0;              // definitions to come
  std::uint16_t prepared_columns_ = 0;  // of the statement being prepared
  bool is_left_out_ = false;            // its definitions
  std::uint16_t status_ = 0;
  std::uint8_t next_number_ = 0;
  State state_ = State::first;
  bool is_answer_begun_ = false;
  bool is_last_queued_ = false;  // the command announced last has an answer
  bool is_status_known_ = false;
  bool is_inside_ = false;  // a message goes on in the next packet
  Action action_inside_ = Action::forward;
};

}  // namespace turnout::protocol::mysql
