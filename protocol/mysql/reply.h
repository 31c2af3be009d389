// OK, ERR and EOF: how a server ends what it says, and in what state its session is then.
//
// OK begins with 0x00, or with 0xfe where it ends rows (capability DEPRECATE_EOF); EOF begins with 0xfe and has five
// bytes; ERR begins with 0xff. ERR says nothing of the state: it is then as unknown as the error is (a deadlock rolls
// back the transaction, a duplicate key does not).
// Parsed values are views into the payload. Source: MySQL "OK_Packet", "ERR_Packet", "EOF_Packet"; MariaDB same names.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/mysql/capabilities.h"
#include "protocol/mysql/wire.h"

namespace turnout::protocol::mysql {

// Server status flags.
namespace status {
inline constexpr std::uint16_t in_transaction = 0x0001;
inline constexpr std::uint16_t autocommit = 0x0002;
inline constexpr std::uint16_t more_results = 0x0008;
inline constexpr std::uint16_t no_good_index = 0x0010;
inline constexpr std::uint16_t no_index = 0x0020;
inline constexpr std::uint16_t cursor_exists = 0x0040;
inline constexpr std::uint16_t last_row_sent = 0x0080;
inline constexpr std::uint16_t database_dropped = 0x0100;
inline constexpr std::uint16_t no_backslash_escapes = 0x0200;
inline constexpr std::uint16_t metadata_changed = 0x0400;
inline constexpr std::uint16_t query_was_slow = 0x0800;
inline constexpr std::uint16_t out_parameters = 0x1000;
inline constexpr std::uint16_t in_read_only_transaction = 0x2000;
inline constexpr std::uint16_t session_state_changed = 0x4000;
// What holds until it changes; the others are about the answer that they came with.
inline constexpr std::uint16_t of_session =
    in_transaction | autocommit | no_backslash_escapes | in_read_only_transaction;
}  // namespace status

inline constexpr std::uint8_t ok_byte = 0x00;
inline constexpr std::uint8_t infile_byte = 0xfb;
inline constexpr std::uint8_t end_byte = 0xfe;
inline constexpr std::uint8_t error_byte = 0xff;

struct Ok {
  std::uint64_t affected_rows = 0;
  std::uint64_t last_insert_id = 0;
  std::uint16_t status = 0;
  std::uint16_t warnings = 0;
  std::string_view info;
  std::string_view changes;        // session state changes (session_changes.h)
  bool ends_rows = false;          // 0xfe
  bool announces_changes = false;  // put: even if there are none
};
// `capabilities` are those of the connection that it came on, or goes to.
[[nodiscard]] std::optional<Ok> parse_ok(Bytes payload, Capabilities capabilities);
// The payload. Without session_track nothing is said of changes, and the status flag that announces them is cleared.
void put_ok(std::string& payload, const Ok& ok, Capabilities capabilities);

struct Eof {
  std::uint16_t warnings = 0;
  std::uint16_t status = 0;
};
[[nodiscard]] std::optional<Eof> parse_eof(Bytes payload);
void put_eof(std::string& payload, const Eof& eof);

struct Error {
  std::uint16_t number = 0;
  std::string_view sqlstate;  // five characters; empty before the login is over
  std::string_view message;
};
// MariaDB's progress reports have the form of an error with this number, and the answer goes on behind them.
inline constexpr std::uint16_t progress_number = 0xffff;
// Never fails: what is absent is empty.
[[nodiscard]] Error parse_error(Bytes payload);
void put_error(std::string& payload, const Error& error);

}  // namespace turnout::protocol::mysql
