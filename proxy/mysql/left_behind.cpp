#include "proxy/mysql/left_behind.h"

#include <algorithm>

#include "proxy/mysql/variables.h"

namespace turnout::proxy::mysql {

namespace my = protocol::mysql;

namespace {

// Of MESSAGE_TEXT, in characters (MySQL "SIGNAL Statement"). Our texts are ASCII; a server's may be cut a little
// sooner.
constexpr std::size_t message_bytes_max = 128;

std::string_view cut(std::string_view message) {
  if (message.size() <= message_bytes_max) return message;
  std::size_t size = message_bytes_max;
  while (size != 0 && (static_cast<unsigned char>(message[size]) & 0xC0U) == 0x80U) --size;  // not within a character
  return message.substr(0, size);
}

// The rest is of no error: 00 is success, 01 a warning, 02 not found.
bool is_state_of_error(std::string_view sqlstate) {
  const bool is_plain = sqlstate.size() == 5 && std::all_of(sqlstate.begin(), sqlstate.end(), [](char c) {
                          return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
                        });
  return is_plain && !sqlstate.starts_with("00") && !sqlstate.starts_with("01") && !sqlstate.starts_with("02");
}

}  // namespace

LeftBehind::Before LeftBehind::before(const my::StateWords& words) {
  Before before;
  asks_only_ = words.diagnostics && !words.row_count && !words.found_rows;
  const bool lacks_rows = words.found_rows && !has_rows_here_;
  const bool lacks_insert_id = (words.last_insert_id || words.unsure) && !has_insert_id_here_;
  if (words.diagnostics && !words.unsure) {
    const bool is_elsewhere = has_run_ && !is_here_ && signal_.empty();
    const bool would_lose_count = words.row_count && is_here_ && !is_count_zero_ && (lacks_rows || lacks_insert_id);
    before.is_refused = is_elsewhere || (lacks_rows && has_had_rows_) || would_lose_count;
    if (before.is_refused) return before;
    before.is_blank = (!is_here_ && signal_.empty()) || lacks_rows;
    if (before.is_blank) has_rows_here_ = true;
    before.signal = signal_;
  }
  if (words.unsure) before.is_blank = !is_here_;  // it may ask for anything
  if (lacks_insert_id) {
    before.has_insert_id = has_insert_id_here_ = true;
    before.insert_id = insert_id_;
  }
  is_count_zero_ = false;
  return before;
}

void LeftBehind::got_rows() {
  if (!asks_only_) has_rows_here_ = has_had_rows_ = true;
}

void LeftBehind::got_insert_id(std::uint64_t id) {
  insert_id_ = id;
  has_insert_id_here_ = true;
}

void LeftBehind::ran() {
  has_run_ = is_here_ = true;
  signal_.clear();
}

void LeftBehind::told(const my::Error& error) {
  const std::string_view sqlstate = is_state_of_error(error.sqlstate) ? error.sqlstate : "HY000";
  signal_ = "SIGNAL SQLSTATE '";
  signal_ += sqlstate;
  signal_ += "' SET MYSQL_ERRNO = " + std::to_string(error.number) + ", MESSAGE_TEXT = ";
  signal_ += Variables::quoted("message_text", cut(error.message));
}

void LeftBehind::reset() {
  insert_id_ = 0;
  signal_.clear();
  if (!is_here_) has_run_ = false;
  if (!has_rows_here_) has_had_rows_ = false;
}

}  // namespace turnout::proxy::mysql
