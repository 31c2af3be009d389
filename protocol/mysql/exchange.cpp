#include "protocol/mysql/exchange.h"

#include <algorithm>

#include "protocol/mysql/greeting.h"
#include "protocol/mysql/result.h"

namespace turnout::protocol::mysql {
namespace {

constexpr std::uint32_t columns_max = 4096;  // of both products

void forget(std::vector<std::uint32_t>& statements, std::uint32_t statement) {
  std::erase(statements, statement);
}

void remember(std::vector<std::uint32_t>& statements, std::uint32_t statement) {
  if (std::find(statements.begin(), statements.end(), statement) == statements.end()) statements.push_back(statement);
}

// A row can begin with 0xfe too: then it begins with a string of 16 MB or more, and its packet is a full one.
bool is_end(const Header& header, std::uint8_t first) {
  return first == end_byte && !header.goes_on();
}

}  // namespace

void Exchange::begin(Capabilities capabilities, std::uint16_t status) {
  *this = Exchange{};
  capabilities_ = capabilities;
  status_ = status;
  is_status_known_ = true;
}

// ---- the queue -----------------------------------------------------------------------------------------------------

void Exchange::enter_head() {
  is_answer_begun_ = false;
  state_ = State::first;
  if (is_empty()) {
    queue_.clear();
    head_ = 0;
    return;
  }
  const AnswerForm form = answer_form(head().command);
  if (form == AnswerForm::rows) state_ = State::rows;
  if (form == AnswerForm::definitions) state_ = State::definitions;
  if (form == AnswerForm::login) state_ = State::login;
}

Exchange::Entry Exchange::pop() {
  const Entry entry = queue_[head_++];
  if (entry.owner != Owner::client) --special_;
  enter_head();
  return entry;
}

// What a command leaves on the server, or takes away, is so as soon as it is on its way.
void Exchange::note_sent(const Entry& entry) {
  switch (entry.command) {
    case Command::statement_send_long_data:
      remember(long_data_, entry.statement);
      break;
    case Command::statement_execute:
    case Command::statement_bulk_execute:
    case Command::statement_reset:
    case Command::statement_close:
      forget(long_data_, entry.statement);
      forget(cursors_, entry.statement);
      break;
    case Command::quit:
    case Command::init_db:
    case Command::query:
    case Command::field_list:
    case Command::refresh:
    case Command::shutdown:
    case Command::statistics:
    case Command::process_info:
    case Command::process_kill:
    case Command::debug:
    case Command::ping:
    case Command::change_user:
    case Command::statement_prepare:
    case Command::set_option:
    case Command::statement_fetch:
    case Command::reset_connection:
      break;
  }
}

void Exchange::sent(Entry entry) {
  if (entry.owner != Owner::fabricated) note_sent(entry);
  is_last_queued_ = answer_form(entry.command) != AnswerForm::none;
  if (!is_last_queued_) return;
  entry.answer_number = 1;
  const bool is_first = is_empty();
  queue_.push_back(entry);
  if (entry.owner != Owner::client) ++special_;
  if (is_first) enter_head();
}

void Exchange::sent_more() {
  if (is_last_queued_ && !is_empty()) ++queue_.back().answer_number;
}

void Exchange::fabricate(Command command, std::uint32_t statement, std::uint32_t ticket) {
  Entry entry;
  entry.command = command;
  entry.owner = Owner::fabricated;
  entry.statement = statement;
  entry.ticket = ticket;
  sent(entry);
}

bool Exchange::next_fabricated(Entry& entry) {
  if (is_empty() || head().owner != Owner::fabricated) return false;
  entry = pop();
  return true;
}

void Exchange::infile_sent(std::uint8_t number) {
  if (state_ != State::infile) return;
  state_ = State::first;
  next_number_ = static_cast<std::uint8_t>(number + 1);
}

// ---- ends ----------------------------------------------------------------------------------------------------------

void Exchange::complete(Received& result) {
  result.completed = true;
  static_cast<void>(pop());
}

void Exchange::note_status(std::uint16_t status) {
  status_ = status;
  is_status_known_ = true;
}

void Exchange::end_result(Received& result) {
  result.ends_result = true;
  if (answer_form(head().command) == AnswerForm::results && (result.status & status::more_results) != 0) {
    state_ = State::first;
    return;
  }
  const Command command = head().command;
  if (command == Command::reset_connection || command == Command::change_user) {
    cursors_.clear();
    long_data_.clear();
  }
  complete(result);
}

bool Exchange::take_ok(Bytes payload, Received& result) {
  const auto ok = parse_ok(payload, capabilities_);
  if (!ok) return false;
  result.kind = ok->ends_rows ? Kind::end : Kind::ok;
  result.status = ok->status;
  result.warnings = ok->warnings;
  result.affected_rows = ok->affected_rows;
  result.last_insert_id = ok->last_insert_id;
  result.changes = ok->changes;
  note_status(ok->status);
  end_result(result);
  return true;
}

// The end of rows, or of definitions, in the form that this connection has. The other form is wrong.
bool Exchange::take_end(Bytes payload, Received& result) {
  if (!has_eof()) return take_ok(payload, result);
  const auto eof = parse_eof(payload);
  if (!eof) return false;
  result.kind = Kind::end;
  result.status = eof->status;
  result.warnings = eof->warnings;
  note_status(eof->status);
  end_result(result);
  return true;
}

void Exchange::take_error(Bytes payload, Received& result) {
  if ((capabilities_ & capability::progress) != 0 && parse_error(payload).number == progress_number) {
    result.kind = Kind::progress;
    return;
  }
  result.kind = Kind::error;
  result.ends_result = true;
  is_status_known_ = false;
  complete(result);
}

void Exchange::note_cursor(const Entry& entry, std::uint16_t status) {
  if ((status & status::cursor_exists) != 0 && entry.opens_cursor) remember(cursors_, entry.statement);
}

// ---- what may come where -------------------------------------------------------------------------------------------

bool Exchange::take_simple(Bytes payload, Received& result) {
  if (payload.front() == ok_byte) return take_ok(payload, result);
  return payload.front() == end_byte && take_end(payload, result);
}

bool Exchange::take_first_of_results(Bytes payload, Received& result) {
  switch (payload.front()) {
    case ok_byte:
      return take_ok(payload, result);
    case infile_byte:
      if (head().command != Command::query) return false;
      result.kind = Kind::infile;
      state_ = State::infile;
      return true;
    default:
      break;
  }
  Reader reader(payload);
  const auto count = reader.length();
  if (!count || *count == 0 || *count > columns_max) return false;
  constexpr Capabilities may_omit = capability::optional_metadata | capability::cached_metadata;
  bool has_columns = true;
  if ((capabilities_ & may_omit) != 0) {
    const auto flag = reader.u8();
    if (!flag || *flag > 1) return false;
    has_columns = *flag == 1;
  }
  if (!reader.is_empty()) return false;
  result.kind = Kind::columns;
  left_ = has_columns ? static_cast<std::uint32_t>(*count) : 0;
  state_ = has_columns ? State::columns : has_eof() ? State::columns_end : State::rows;
  result.ended_lists = has_columns ? 0 : 1;
  return true;
}

bool Exchange::take_prepared(Bytes payload, Received& result) {
  const auto prepared = parse_prepared(payload, capabilities_);
  // MySQL says a plain OK when it refuses to prepare a SET GLOBAL (measured on 9.7). No statement has the number 0.
  const bool is_plain_ok =
      !prepared && payload.size() == 7 && payload[0] == ok_byte && payload[1] == 0 && payload[2] == 0;
  if (is_plain_ok) return take_ok(payload, result);
  if (!prepared) return false;
  result.kind = Kind::prepared;
  result.statement = prepared->statement;
  result.warnings = prepared->warnings;
  is_left_out_ = !prepared->has_definitions;
  if (is_left_out_)
    result.ended_lists =
        static_cast<std::uint8_t>((prepared->parameters != 0 ? 1 : 0) + (prepared->columns != 0 ? 1 : 0));
  prepared_columns_ = prepared->columns;
  enter_parameters(prepared->parameters);
  if (state_ == State::first) complete(result);
  return true;
}

// A list that was left out keeps its EOF (mysql97/mysql_metadata_eof). State::first: the preparation is over.
void Exchange::enter_parameters(std::uint16_t parameters) {
  left_ = parameters;
  state_ = is_left_out_ ? State::parameters_end : State::parameters;
  if (parameters == 0 || (is_left_out_ && !has_eof())) enter_prepared_columns();
}

void Exchange::enter_prepared_columns() {
  left_ = prepared_columns_;
  state_ = is_left_out_ ? State::prepared_columns_end : State::prepared_columns;
  if (left_ == 0 || (is_left_out_ && !has_eof())) state_ = State::first;
}

bool Exchange::take_first(Bytes payload, Received& result) {
  switch (answer_form(head().command)) {
    case AnswerForm::simple:
      return take_simple(payload, result);
    case AnswerForm::line:
      result.kind = Kind::line;
      complete(result);
      return true;
    case AnswerForm::results:
      return take_first_of_results(payload, result);
    case AnswerForm::preparation:
      return take_prepared(payload, result);
    case AnswerForm::none:
    case AnswerForm::rows:
    case AnswerForm::definitions:
    case AnswerForm::login:
      break;
  }
  return false;
}

bool Exchange::take_column(Received& result) {
  result.kind = Kind::column;
  if (--left_ != 0) return true;
  result.ended_lists = 1;
  switch (state_) {
    case State::columns:
      state_ = has_eof() ? State::columns_end : State::rows;
      return true;
    case State::parameters:
      state_ = State::parameters_end;
      if (!has_eof()) enter_prepared_columns();
      break;
    case State::prepared_columns:
      state_ = has_eof() ? State::prepared_columns_end : State::first;
      break;
    case State::first:
    case State::columns_end:
    case State::rows:
    case State::parameters_end:
    case State::prepared_columns_end:
    case State::definitions:
    case State::infile:
    case State::login:
      return false;
  }
  if (state_ == State::first) complete(result);
  return true;
}

bool Exchange::take_eof(Bytes payload, Received& result) {
  const auto eof = parse_eof(payload);
  if (!eof) return false;
  result.kind = Kind::eof;
  result.status = eof->status;
  result.warnings = eof->warnings;
  note_status(eof->status);
  if (state_ == State::columns_end) {
    state_ = State::rows;
    if (!head().opens_cursor || (eof->status & status::cursor_exists) == 0) return true;
    note_cursor(head(), eof->status);  // no rows before they are fetched
    result.kind = Kind::end;
    end_result(result);
    return true;
  }
  if (state_ == State::parameters_end)
    enter_prepared_columns();
  else
    state_ = State::first;
  if (state_ == State::first) complete(result);
  return true;
}

bool Exchange::take_row_or_end(const Header& header, Bytes payload, Received& result) {
  if (!is_end(header, payload.front())) {
    result.kind = Kind::row;
    return true;
  }
  const Entry entry = head();
  if (!take_end(payload, result)) return false;
  note_cursor(entry, result.status);
  const bool was_last = (result.status & status::last_row_sent) != 0;
  if (entry.command == Command::statement_fetch && was_last) forget(cursors_, entry.statement);
  return true;
}

bool Exchange::take_column_or_end(const Header& header, Bytes payload, Received& result) {
  if (is_end(header, payload.front())) return take_end(payload, result);
  result.kind = Kind::column;
  return true;
}

bool Exchange::take_login(Bytes payload, Received& result) {
  if (payload.front() == ok_byte) return take_ok(payload, result);
  result.kind = Kind::login;
  return payload.front() == auth_switch_byte || payload.front() == auth_more_byte;
}

bool Exchange::take_message(const Header& header, Bytes payload, Received& result) {
  if (payload.empty()) return false;
  if (payload.front() == error_byte) {
    take_error(payload, result);
    return true;
  }
  switch (state_) {
    case State::first:
      return take_first(payload, result);
    case State::columns:
    case State::parameters:
    case State::prepared_columns:
      return take_column(result);
    case State::columns_end:
    case State::parameters_end:
    case State::prepared_columns_end:
      return take_eof(payload, result);
    case State::rows:
      return take_row_or_end(header, payload, result);
    case State::definitions:
      return take_column_or_end(header, payload, result);
    case State::login:
      return take_login(payload, result);
    case State::infile:  // it has to wait for the client
      break;
  }
  return false;
}

// ---- packets -------------------------------------------------------------------------------------------------------

bool Exchange::wants_whole(const Header& header, std::uint8_t first) const {
  if (is_inside_ || is_empty()) return false;
  if (first == error_byte) return true;
  switch (state_) {
    case State::rows:
    case State::definitions:
      return is_end(header, first);
    case State::columns:
    case State::parameters:
    case State::prepared_columns:
      return false;
    case State::first:
      return answer_form(head().command) != AnswerForm::line;
    case State::columns_end:
    case State::parameters_end:
    case State::prepared_columns_end:
    case State::infile:
    case State::login:
      break;
  }
  return true;
}

// An error may come with any number before anything else of the answer: the server had not read all of the command.
bool Exchange::take_number(const Header& header, Bytes payload) {
  const bool is_early_error = !is_answer_begun_ && !payload.empty() && payload.front() == error_byte &&
                              parse_error(payload).number != progress_number;
  if (!is_answer_begun_) next_number_ = is_early_error ? header.number : head().answer_number;
  is_answer_begun_ = true;
  return header.number == next_number_++;
}

Exchange::Received Exchange::received(const Header& header, Bytes payload) {
  Received result;
  if (is_inside_) {  // also behind the end of an answer, of a line
    result.kind = Kind::continuation;
    result.action = header.number == next_number_++ ? action_inside_ : Action::protocol_error;
    is_inside_ = header.goes_on();
    return result;
  }
  if (is_empty()) {
    // Its last words, before it closes an idle connection.
    const bool is_error = !payload.empty() && payload.front() == error_byte;
    result.kind = Kind::error;
    result.unasked = true;
    result.action = is_error ? Action::forward : Action::protocol_error;
    return result;
  }
  result.entry = head();
  const Action action = head().owner == Owner::ours ? Action::swallow : Action::forward;
  if (head().owner == Owner::fabricated || !take_number(header, payload)) {
    result.action = Action::protocol_error;
    return result;
  }
  const std::uint8_t next_number = next_number_;
  const bool fits = take_message(header, payload, result);
  if (is_inside_ = header.goes_on(); is_inside_) next_number_ = next_number;
  action_inside_ = action;
  result.action = fits ? action : Action::protocol_error;
  return result;
}

std::size_t Exchange::take_rows(Bytes data) {
  if (state_ != State::rows || is_inside_ || !is_answer_begun_ || head().owner != Owner::client) return 0;
  std::size_t at = 0;
  Header header;
  while (read_header(data.subspan(at), header)) {
    if (header.number != next_number_ || header.payload == 0 || header.goes_on()) break;
    if (data.size() - at < header.total()) break;
    const std::uint8_t first = data[at + header_bytes];
    if (first == end_byte || first == error_byte) break;
    ++next_number_;
    at += header.total();
  }
  return at;
}

}  // namespace turnout::protocol::mysql
