// What clients ask: the commands, what each is about, and which form its answer has.
//
// Views into the payload. A value's bytes are found, never read: a proxy has to know where the text of a query begins
// behind its attributes, and where the types of a statement's parameters are, nothing more.
// Source: MySQL "Command Phase", "COM_QUERY", "COM_STMT_EXECUTE"; MariaDB "COM_STMT_BULK_EXECUTE"; golden files.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/mysql/capabilities.h"
#include "protocol/mysql/wire.h"

namespace turnout::protocol::mysql {

// Those that are passed on or answered; all others are refused with error 1047.
enum class Command : std::uint8_t {
  quit = 0x01,
  init_db = 0x02,
  query = 0x03,
  field_list = 0x04,
  refresh = 0x07,
  shutdown = 0x08,
  statistics = 0x09,
  process_info = 0x0a,
  process_kill = 0x0c,
  debug = 0x0d,
  ping = 0x0e,
  change_user = 0x11,
  statement_prepare = 0x16,
  statement_execute = 0x17,
  statement_send_long_data = 0x18,
  statement_close = 0x19,
  statement_reset = 0x1a,
  set_option = 0x1b,
  statement_fetch = 0x1c,
  reset_connection = 0x1f,
  statement_bulk_execute = 0xfa,  // MariaDB
};
inline constexpr std::uint16_t unknown_command_number = 1047;
inline constexpr std::string_view unknown_command_sqlstate = "08S01";

// How an answer is written, hence where it ends (exchange.h).
enum class AnswerForm : std::uint8_t {
  none,         // there is no answer
  simple,       // one OK, EOF or ERR
  line,         // one message of text, or ERR
  results,      // OK, ERR, or rows with their columns; and again while more results are announced
  preparation,  // a statement's number, its parameters and columns; or ERR
  rows,         // rows without columns: more of a cursor
  definitions,  // columns without rows
  login,        // a conversation, up to OK or ERR
};

// The command that a payload begins with, or nothing: it has to be refused.
[[nodiscard]] std::optional<Command> command_of(std::uint8_t first);
[[nodiscard]] AnswerForm answer_form(Command command);
// COM_STMT_…: its payload begins with the command and the statement's number.
[[nodiscard]] bool is_about_statement(Command command);

inline constexpr std::uint32_t last_prepared = 0xffff'ffff;  // MariaDB: the statement prepared just before
// Nothing: too short.
[[nodiscard]] std::optional<std::uint32_t> statement_of(Bytes payload);
// The number in place, in a payload that has one.
void set_statement(std::uint8_t* payload, std::uint32_t statement);

struct Query {
  std::size_t sql_at = 0;  // offset of the text in the payload
  std::string_view sql;    // as much of it as is there
  std::uint64_t attributes = 0;
};
// `payload` may be the beginning of a message; nothing: malformed, or cut before the text begins.
[[nodiscard]] std::optional<Query> parse_query(Bytes payload, Capabilities capabilities);

struct Execute {
  std::uint32_t statement = 0;
  std::uint8_t flags = 0;
  std::uint64_t parameters = 0;  // those of the statement, then attributes
  bool has_types = false;        // else the statement has those of its last execution
  std::size_t flag_at = 0;       // offset of the byte that says so; 0: there are no parameters
  std::string_view types;        // of all parameters, with names where attributes are agreed on
  std::size_t values_at = 0;
  [[nodiscard]] bool opens_cursor() const { return (flags & 7U) != 0; }
};
// `statement_parameters`: as the server told when it was prepared. `payload` may be the beginning of a message;
// nothing: malformed, or cut before the values begin.
[[nodiscard]] std::optional<Execute> parse_execute(Bytes payload, std::uint16_t statement_parameters,
                                                   Capabilities capabilities);
// The payload again, with these types; for a server that prepared the statement only now.
[[nodiscard]] std::string with_types(std::string_view payload, const Execute& execute, std::string_view types);

struct Fetch {
  std::uint32_t statement = 0;
  std::uint32_t rows = 0;
};
[[nodiscard]] std::optional<Fetch> parse_fetch(Bytes payload);

struct LongData {
  std::uint32_t statement = 0;
  std::uint16_t parameter = 0;
};
[[nodiscard]] std::optional<LongData> parse_long_data(Bytes payload);

// The whole payload behind the command: a database, a text to prepare, MariaDB's and MySQL's alike.
[[nodiscard]] inline std::string_view argument_of(Bytes payload) {
  return payload.empty() ? std::string_view{} : text(payload.subspan(1));
}
// COM_PROCESS_KILL's connection, COM_SET_OPTION's 0 (multi statements on) or 1 (off).
[[nodiscard]] std::optional<std::uint32_t> parse_process_kill(Bytes payload);
[[nodiscard]] std::optional<std::uint16_t> parse_set_option(Bytes payload);
// COM_FIELD_LIST's table; behind it is a pattern.
[[nodiscard]] std::optional<std::string_view> parse_field_list(Bytes payload);

// ---- commands we make: payloads
void put_query(std::string& payload, std::string_view sql, Capabilities capabilities);
void put_command(std::string& payload, Command command, std::string_view argument = {});
void put_statement_command(std::string& payload, Command command, std::uint32_t statement);
void put_set_option(std::string& payload, std::uint16_t option);
void put_process_kill(std::string& payload, std::uint32_t connection);

}  // namespace turnout::protocol::mysql
