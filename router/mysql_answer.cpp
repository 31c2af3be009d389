#include "router/mysql_answer.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace turnout::router {

namespace my = protocol::mysql;

namespace {

constexpr std::uint32_t cut_bytes_max = 1024 * 1024;  // of a row that comes in pieces
constexpr std::uint8_t null_field = 0xfb;
constexpr std::uint16_t binary_collation = 63;
constexpr std::uint16_t unsigned_flag = 0x0020;
constexpr std::uint32_t is_unsigned_bit = 1U << 8U;  // of AnswerColumn::type
constexpr std::uint32_t null_length = UINT32_MAX;

ValueKind kind_of(const my::Column& column) {
  if (column.type == my::type::float_number) return ValueKind::float4;
  if (column.type == my::type::double_number) return ValueKind::float8;
  constexpr std::uint8_t first_of_text = 0xf7, varchar = 0x0f;  // ENUM, SET, TEXT, VARCHAR, CHAR
  const bool is_string = column.type >= first_of_text || column.type == varchar;
  return is_string && column.collation != binary_collation ? ValueKind::text : ValueKind::other;
}

// What clients take it for: bytes or text, signed or not.
std::uint32_t number_of(const my::Column& column) {
  const std::uint32_t is_bytes = column.collation == binary_collation ? 1 : 0;
  const std::uint32_t is_unsigned = (column.flags & unsigned_flag) != 0 ? 1 : 0;
  return column.type | is_unsigned * is_unsigned_bit | is_bytes << 9U;
}

// Whole numbers in digits, strings without their length; the rest as it is.
std::string text_of_binary(my::Bytes value, std::uint8_t type, bool is_unsigned) {
  my::Reader reader(value);
  switch (type) {
    case my::type::tiny:
    case my::type::short_number:
    case my::type::year:
    case my::type::long_number:
    case my::type::int24:
    case my::type::long_long:
      break;
    case my::type::timestamp:
    case my::type::date:
    case my::type::time:
    case my::type::datetime:
    case my::type::null:
      return std::string(my::text(value));
    default:
      return std::string(reader.counted().value_or(std::string_view{}));
  }
  std::uint64_t number = 0;
  for (std::size_t i = value.size(); i-- > 0;) number = number << 8U | value[i];
  if (is_unsigned || value.empty()) return std::to_string(number);
  const std::size_t unused = 64 - 8 * value.size();
  return std::to_string(static_cast<std::int64_t>(number << unused) >> unused);
}

void put_big(std::string& out, std::uint32_t value, std::size_t bytes) {
  for (std::size_t i = bytes; i-- > 0;) out += static_cast<char>(value >> (8 * i) & 0xffU);
}

}  // namespace

std::string mysql_error_class(const my::Error& error) {
  if (error.sqlstate == "HY000" && error.number <= 9999) {
    const std::string number = std::to_string(error.number);
    return "H" + std::string(4 - number.size(), '0') + number;
  }
  const auto is_of_it = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); };
  const bool is_state = error.sqlstate.size() == 5 && std::ranges::all_of(error.sqlstate, is_of_it);
  return is_state ? std::string(error.sqlstate) : "?????";
}

MysqlAnswerReader::MysqlAnswerReader(const ShapeHash& start, const Limits& limits, bool is_binary)
    : start_(start), limits_(limits), is_binary_(is_binary), tally_(start), described_(start) {
  keeps_rows_ = limits.kept_bytes_max != 0;
}

void MysqlAnswerReader::give_up(AnswerGap gap) {
  if (digest_.gap == AnswerGap::none) digest_.gap = gap;
  keep_no_more();
  partial_.clear();
  partial_.shrink_to_fit();
}

void MysqlAnswerReader::keep_no_more() {
  keeps_rows_ = false;
  kept_.clear();
  kept_.shrink_to_fit();
}

// ---- packets

void MysqlAnswerReader::take(const my::Exchange::Received& received, const my::Header& header, Bytes payload) {
  using Kind = my::Exchange::Kind;
  missing_ = 0;
  if (is_over_) return;
  switch (received.kind) {
    case Kind::columns:
      columns_.clear();
      types_.clear();
      described_ = start_;
      described_.mix(digest_.columns);  // of the results before it
      break;
    case Kind::column:
    case Kind::row:
      if (digest_.gap != AnswerGap::none) return;
      is_column_ = received.kind == Kind::column;
      if (header.goes_on()) return give_up(AnswerGap::too_long);
      if (payload.size() == header.payload) return take_whole(payload);
      if (header.payload > cut_bytes_max) return give_up(AnswerGap::too_long);
      partial_.assign(my::text(payload));
      missing_ = header.payload - payload.size();
      return;
    case Kind::error:
      take_error(my::parse_error(payload));
      return;
    case Kind::ok:
    case Kind::end:
      tally_.end_result(digest_);
      break;
    case Kind::infile:
      give_up(AnswerGap::copy);
      break;
    case Kind::continuation:
    case Kind::progress:
    case Kind::line:
    case Kind::login:
    case Kind::prepared:
    case Kind::eof:
      break;
  }
  if (received.completed) end_answer();
}

void MysqlAnswerReader::take_more(Bytes payload) {
  const std::size_t part = std::min(missing_, payload.size());
  if (part == 0 || digest_.gap != AnswerGap::none) return;
  partial_.append(my::text(payload.first(part)));
  missing_ -= part;
  if (missing_ != 0) return;
  const std::string whole = std::exchange(partial_, {});
  take_whole(my::bytes_of(whole));
}

void MysqlAnswerReader::take_rows(Bytes packets) {
  my::Header header;
  while (digest_.gap == AnswerGap::none && my::read_header(packets, header) && packets.size() >= header.total()) {
    take_row(packets.subspan(my::header_bytes, header.payload));
    packets = packets.subspan(header.total());
  }
}

void MysqlAnswerReader::take_error(const my::Error& error) {
  digest_.sqlstate = mysql_error_class(error);
  end_answer();
}

void MysqlAnswerReader::take_whole(Bytes payload) {
  if (is_column_)
    take_column(payload);
  else
    take_row(payload);
}

void MysqlAnswerReader::end_answer() {
  tally_.end_answer(digest_);
  is_over_ = true;
}

// ---- columns

// Lengths and flags hang on what the server makes of an expression, and clients read the values without them.
void MysqlAnswerReader::take_column(Bytes payload) {
  const auto column = my::parse_column(payload, capabilities_);
  if (!column) return give_up(AnswerGap::malformed);
  const std::uint32_t number = number_of(*column);
  described_.mix_text(column->name);
  described_.mix(number);
  digest_.columns = described_.low() | 1U;
  types_.push_back(column->type);
  if (limits_.kept_bytes_max == 0) return;
  const ValueKind kind = kind_of(*column);
  const bool is_float = kind == ValueKind::float4 || kind == ValueKind::float8;
  columns_.push_back({std::string(column->name), number, kind, is_binary_ && is_float});
}

// ---- rows

void MysqlAnswerReader::take_row(Bytes payload) {
  digest_.bytes += payload.size();
  if (digest_.bytes > limits_.bytes_max) return give_up(AnswerGap::too_long);
  const std::size_t kept_before = kept_.size();
  if (keeps_rows_) {
    kept_.append(sizeof(std::uint32_t), '\0');  // its length, once it is known
    put_big(kept_, static_cast<std::uint32_t>(types_.size()), 2);
  }
  if (!(is_binary_ ? keep_binary_row(payload) : keep_text_row(payload))) return give_up(AnswerGap::malformed);
  if (keeps_rows_) {
    const auto length = static_cast<std::uint32_t>(kept_.size() - kept_before - sizeof(std::uint32_t));
    std::memcpy(kept_.data() + kept_before, &length, sizeof length);
    if (kept_.size() > limits_.kept_bytes_max) keep_no_more();
  }
  ShapeHash row = start_;
  row.mix(types_.size());
  row.mix_bytes(my::text(payload));
  tally_.end_row(row, digest_);
}

bool MysqlAnswerReader::keep_text_row(Bytes payload) {
  my::Reader reader(payload);
  for (std::size_t i = 0; i < types_.size(); ++i) {
    if (!reader.is_empty() && reader.rest().front() == null_field) {
      static_cast<void>(reader.u8());
      if (keeps_rows_) keep_null();
      continue;
    }
    const auto value = reader.counted();
    if (!value) return false;
    if (keeps_rows_) keep_value(i, my::bytes_of(*value));
  }
  return reader.is_empty();
}

bool MysqlAnswerReader::keep_binary_row(Bytes payload) {
  my::Reader reader(payload);
  if (reader.u8() != 0x00) return false;
  const auto nulls = reader.take((types_.size() + 9) / 8);
  if (!nulls) return false;
  for (std::size_t i = 0; i < types_.size(); ++i) {
    const unsigned byte = (*nulls)[(i + 2) / 8];
    if ((byte >> ((i + 2) % 8) & 1U) != 0) {
      if (keeps_rows_) keep_null();
      continue;
    }
    const Bytes before = reader.rest();
    if (!my::skip_value(reader, types_[i])) return false;
    if (keeps_rows_) keep_value(i, before.first(before.size() - reader.rest().size()));
  }
  return reader.is_empty();
}

// As a text row has it, but for floats and moments.
void MysqlAnswerReader::keep_value(std::size_t column, Bytes value) {
  std::string text(my::text(value));
  if (columns_[column].is_binary)
    std::reverse(text.begin(), text.end());
  else if (is_binary_)
    text = text_of_binary(value, types_[column], (columns_[column].type & is_unsigned_bit) != 0);
  put_big(kept_, static_cast<std::uint32_t>(text.size()), 4);
  kept_.append(text);
}

void MysqlAnswerReader::keep_null() {
  put_big(kept_, null_length, 4);
}

}  // namespace turnout::router
