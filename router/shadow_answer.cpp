#include "router/shadow_answer.h"

#include <algorithm>
#include <cstring>

namespace turnout::router {

namespace pg = protocol::pg;

namespace {

// Descriptions and errors; a table has at most 1 600 columns of names of 63 bytes.
constexpr std::uint64_t whole_bytes_max = 256 * 1024;
constexpr std::uint32_t null_length = UINT32_MAX;

bool is_taken_whole(char type) {
  return type == 'T' || type == 'E' || type == 'Z';
}

bool is_sqlstate(std::string_view code) {
  const auto is_of_it = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); };
  return code.size() == 5 && std::ranges::all_of(code, is_of_it);
}

std::uint64_t word_at(const std::uint8_t* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// bpchar, varchar, text, name; citext has no fixed number.
ValueKind kind_of(std::uint32_t type) {
  if (type == 700) return ValueKind::float4;
  if (type == 701) return ValueKind::float8;
  return type == 25 || type == 1042 || type == 1043 || type == 19 ? ValueKind::text : ValueKind::other;
}

HashPair pair_of(const ShapeHash& hash) {
  return {hash.low(), hash.high()};
}

}  // namespace

const char* name(AnswerGap gap) {
  switch (gap) {
    case AnswerGap::none:
      return "none";
    case AnswerGap::too_long:
      return "too_long";
    case AnswerGap::suspended:
      return "suspended";
    case AnswerGap::copy:
      return "copy";
    case AnswerGap::malformed:
      return "malformed";
  }
  return "?";
}

// ---- rows and results, of either protocol

void AnswerTally::end_row(const ShapeHash& row, AnswerDigest& digest) {
  ++digest.rows;
  ++result_rows_;
  order_.mix(row.low());
  order_.mix(row.high());
  sum_.low += row.low();
  sum_.high += row.high();
}

void AnswerTally::end_result(AnswerDigest& digest) {
  ++digest.results;
  in_order_.mix(order_.low());
  in_order_.mix(order_.high());
  in_order_.mix(result_rows_);
  any_order_.mix(sum_.low);
  any_order_.mix(sum_.high);
  any_order_.mix(result_rows_);
  order_ = start_;
  sum_ = {};
  result_rows_ = 0;
}

void AnswerTally::end_answer(AnswerDigest& digest) const {
  digest.in_order = pair_of(in_order_);
  digest.any_order = pair_of(any_order_);
}

// ---- PostgreSQL's reader

AnswerReader::AnswerReader(const ShapeHash& start, const Limits& limits)
    : start_(start), limits_(limits), row_(start), tally_(start) {
  keeps_rows_ = limits.kept_bytes_max != 0;
}

void AnswerReader::give_up(AnswerGap gap) {
  if (digest_.gap == AnswerGap::none) digest_.gap = gap;
  keep_no_more();
}

void AnswerReader::keep_no_more() {
  keeps_rows_ = false;
  kept_.clear();
  kept_.shrink_to_fit();
}

// ---- messages

std::size_t AnswerReader::feed(pg::Bytes bytes) {
  const std::size_t all = bytes.size();
  while (!bytes.empty() && !is_over_) {
    if (header_used_ < pg::header_bytes) {
      const std::size_t part = std::min(pg::header_bytes - header_used_, bytes.size());
      std::copy_n(bytes.begin(), part, header_.begin() + static_cast<std::ptrdiff_t>(header_used_));
      header_used_ += part;
      bytes = bytes.subspan(part);
      if (header_used_ < pg::header_bytes) return all;
      begin_message();
    }
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(body_left_, bytes.size()));
    take_body(bytes.first(part));
    bytes = bytes.subspan(part);
    body_left_ -= part;
    if (body_left_ == 0) end_message();
  }
  return all - bytes.size();
}

void AnswerReader::begin_message() {
  pg::Header header;
  if (pg::read_header(pg::Bytes(header_), UINT32_MAX, header) != pg::Framing::complete) {
    give_up(AnswerGap::malformed);
    is_over_ = true;  // where the next message would begin is not known
    return;
  }
  type_ = header.type;
  body_left_ = header.body;
  body_ = {};
  gathered_.clear();
  row_state_ = Row::count;
  row_ = start_;
  partial_used_ = word_used_ = 0;
  word_ = 0;
  fields_left_ = 0;
  if (type_ == 'D' && is_looked_at()) {
    digest_.bytes += header.body;
    if (digest_.bytes > limits_.bytes_max) give_up(AnswerGap::too_long);
    if (keeps_rows_) {
      if (kept_.size() + header.body + sizeof header.body > limits_.kept_bytes_max)
        keep_no_more();
      else
        kept_.append(reinterpret_cast<const char*>(&header.body), sizeof header.body);
    }
  }
}

void AnswerReader::take_body(pg::Bytes bytes) {
  if (is_taken_whole(type_)) {
    if (gathered_.size() + bytes.size() > whole_bytes_max) return give_up(AnswerGap::malformed);
    if (gathered_.empty() && bytes.size() == body_left_) {
      body_ = bytes;
    } else {
      gathered_.append(pg::text(bytes));
      body_ = pg::bytes_of(gathered_);
    }
  } else if (type_ == 'D' && is_looked_at()) {
    if (keeps_rows_) kept_.append(pg::text(bytes));
    take_row(bytes);
  }
}

void AnswerReader::end_message() {
  header_used_ = 0;
  if (type_ == 'Z') {
    status_ = body_.empty() ? 'I' : static_cast<char>(body_[0]);
    if (skip_ != 0) {
      --skip_;
      return;
    }
    tally_.end_answer(digest_);
    is_over_ = true;
    return;
  }
  if (skip_ != 0) {
    has_failed_before_ = has_failed_before_ || type_ == 'E';
    return;
  }
  switch (type_) {
    case 'D':
      if (is_looked_at()) end_row();
      break;
    case 'T':
      describe();
      break;
    case 'C':
    case 'I':
      end_result();
      break;
    case 'E':
      digest_.sqlstate = pg::parse_error(body_).sqlstate;
      if (!is_sqlstate(digest_.sqlstate)) digest_.sqlstate = "?????";
      break;
    case 's':
      give_up(AnswerGap::suspended);
      break;
    case 'G':
    case 'H':
    case 'W':
      give_up(AnswerGap::copy);
      break;
    default:
      break;
  }
}

// ---- rows

// A number of two or four bytes, perhaps cut; true once it is whole in partial_.
bool AnswerReader::gather(pg::Bytes& bytes, std::size_t wanted) {
  const std::size_t part = std::min(wanted - partial_used_, bytes.size());
  std::copy_n(bytes.begin(), part, partial_.begin() + static_cast<std::ptrdiff_t>(partial_used_));
  partial_used_ += part;
  bytes = bytes.subspan(part);
  if (partial_used_ < wanted) return false;
  partial_used_ = 0;
  return true;
}

void AnswerReader::take_row(pg::Bytes bytes) {
  while (!bytes.empty()) {
    switch (row_state_) {
      case Row::count:
        if (!gather(bytes, 2)) return;
        fields_left_ = pg::load_u16(partial_.data());
        row_.mix(fields_left_);
        row_state_ = Row::length;
        break;
      case Row::length:
        if (fields_left_ == 0) return give_up(AnswerGap::malformed);
        if (!gather(bytes, 4)) return;
        --fields_left_;
        value_left_ = pg::load_u32(partial_.data());
        row_.mix(value_left_);
        if (value_left_ == null_length) value_left_ = 0;
        if (value_left_ != 0) row_state_ = Row::value;
        break;
      case Row::value:
        take_value(bytes);
        if (value_left_ == 0) row_state_ = Row::length;
        break;
    }
  }
}

// The same words wherever the value was cut.
void AnswerReader::take_value(pg::Bytes& bytes) {
  std::size_t part = std::min<std::size_t>(value_left_, bytes.size());
  const std::uint8_t* at = bytes.data();
  bytes = bytes.subspan(part);
  value_left_ -= static_cast<std::uint32_t>(part);
  while (word_used_ != 0 && part != 0) {
    word_ |= std::uint64_t{*at++} << (8 * word_used_++);
    --part;
    if (word_used_ == 8) {
      row_.mix(word_);
      word_ = word_used_ = 0;
    }
  }
  for (; part >= 8; part -= 8, at += 8) row_.mix(word_at(at));
  for (; part != 0; --part) word_ |= std::uint64_t{*at++} << (8 * word_used_++);
  if (value_left_ == 0 && word_used_ != 0) {
    row_.mix(word_);
    word_ = word_used_ = 0;
  }
}

void AnswerReader::end_row() {
  if (row_state_ != Row::length || fields_left_ != 0 || partial_used_ != 0) return give_up(AnswerGap::malformed);
  tally_.end_row(row_, digest_);
}

void AnswerReader::end_result() {
  tally_.end_result(digest_);
  columns_before_ = digest_.columns;
}

// What differs between servers without meaning anything stays out: numbers of tables and columns, and whether values
// come in binary, which is the client's choice. A client may ask twice, of the statement and of the portal: the later
// description stands for both.
void AnswerReader::describe() {
  pg::Reader reader(body_);
  const auto count = reader.u16();
  ShapeHash hash = start_;
  hash.mix(columns_before_);
  columns_.clear();
  for (std::uint32_t i = 0; count && i < *count; ++i) {
    const auto column = reader.cstring();
    const auto table = reader.u32();
    const auto attribute = reader.u16();
    const auto type = reader.u32();
    const auto size = reader.u16();
    const auto modifier = reader.u32();
    const auto format = reader.u16();
    if (!column || !table || !attribute || !type || !size || !modifier || !format) return give_up(AnswerGap::malformed);
    hash.mix_bytes(*column);
    hash.mix(*type);
    hash.mix(*modifier);
    if (limits_.kept_bytes_max != 0) columns_.push_back({std::string(*column), *type, kind_of(*type), *format == 1});
  }
  digest_.columns = hash.low() | 1U;
}

}  // namespace turnout::router
