// What is remembered of an answer: hashes of its rows, in order and without order, how many there are, what the columns
// are, or the error. Read from the server's bytes as they come, in pieces cut anywhere; nothing is kept of a row but
// its hash, unless the answer is to be shown to shadow_rows.h. The reader here is PostgreSQL's; mysql_answer.h has the
// other one, with the same digest.
//
// One pass over the bytes, about as dear as copying them. Two answers have the same hashes exactly when they have the
// same values (up to chance, 2^-64): a value's length comes before its bytes, NULL is no length at all, and the hash is
// keyed with a secret, so nobody chooses values that collide. A hash of the rows without order is the sum of the rows'
// hashes: it counts rows that come several times.
// Source: PostgreSQL manual 55.7, messages RowDescription, DataRow, CommandComplete, ErrorResponse, ReadyForQuery.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/pg/wire.h"
#include "router/shape.h"

namespace turnout::router {

struct HashPair {
  std::uint64_t low = 0, high = 0;
  friend bool operator==(const HashPair&, const HashPair&) = default;
};

// Why an answer cannot be compared with another one.
enum class AnswerGap : std::uint8_t {
  none,
  too_long,   // beyond shadow.result_size
  suspended,  // a part of the rows was asked for
  copy,       // rows that are no DataRow
  malformed,
};
[[nodiscard]] const char* name(AnswerGap gap);

struct AnswerDigest {
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;       // of the rows
  std::uint32_t results = 0;     // statements that were answered
  HashPair in_order, any_order;  // of all results; a result's rows never mix with another's
  std::uint64_t columns = 0;     // names and types; 0 = not described
  std::string sqlstate;          // "" = no error
  AnswerGap gap = AnswerGap::none;
};

// What may explain a difference between two values.
enum class ValueKind : std::uint8_t { other, text, float4, float8 };

struct AnswerColumn {
  std::string name;
  std::uint32_t type = 0;  // the native number
  ValueKind kind = ValueKind::other;
  bool is_binary = false;  // floats: IEEE 754, most significant byte first
};

// The hashes of an answer, from those of its rows.
class AnswerTally {
 public:
  explicit AnswerTally(const ShapeHash& start) : start_(start), order_(start), in_order_(start), any_order_(start) {}
  void end_row(const ShapeHash& row, AnswerDigest& digest);
  void end_result(AnswerDigest& digest);
  void end_answer(AnswerDigest& digest) const;

 private:
  const ShapeHash start_;
  ShapeHash order_;  // of the result that is being read
  HashPair sum_;     // of it
  std::uint64_t result_rows_ = 0;
  ShapeHash in_order_, any_order_;  // of the results before it
};

class AnswerReader {
 public:
  struct Limits {
    std::uint64_t bytes_max = 8ULL * 1024 * 1024;
    std::uint64_t kept_bytes_max = 0;  // of rows to be looked at again; 0 = none is kept
  };
  AnswerReader(const ShapeHash& start, const Limits& limits);

  // Answers to be passed over before the one that counts: of settings that are set first.
  void skip(std::size_t answers) { skip_ += answers; }
  // The server's bytes, in order, cut anywhere, with the numbers of types that clients know. How many of them are this
  // answer's: what comes after it is not looked at.
  std::size_t feed(protocol::pg::Bytes bytes);

  [[nodiscard]] bool is_over() const { return is_over_; }  // its ReadyForQuery has come
  [[nodiscard]] char status() const { return status_; }    // that it told
  // One of those that are passed over has failed: what follows is not as it should be.
  [[nodiscard]] bool has_failed_before() const { return has_failed_before_; }
  [[nodiscard]] const AnswerDigest& digest() const { return digest_; }
  // Of the latest result; empty where no rows are to be kept, as kept() is.
  [[nodiscard]] const std::vector<AnswerColumn>& columns() const { return columns_; }
  // Bodies of the DataRows, each behind its length (four bytes, native). Empty where nothing is kept, or more would
  // have to be: then keeps_rows() is false.
  [[nodiscard]] const std::string& kept() const { return kept_; }
  [[nodiscard]] bool keeps_rows() const { return keeps_rows_; }

 private:
  enum class Row : std::uint8_t { count, length, value };

  void begin_message();
  void take_body(protocol::pg::Bytes bytes);
  void end_message();
  void take_row(protocol::pg::Bytes bytes);
  bool gather(protocol::pg::Bytes& bytes, std::size_t wanted);
  void take_value(protocol::pg::Bytes& bytes);
  void end_row();
  void end_result();
  void describe();
  void give_up(AnswerGap gap);
  void keep_no_more();
  [[nodiscard]] bool is_looked_at() const { return skip_ == 0 && digest_.gap == AnswerGap::none; }

  const ShapeHash start_;
  const Limits limits_;
  std::size_t skip_ = 0;
  bool is_over_ = false, has_failed_before_ = false;
  char status_ = 'I';
  AnswerDigest digest_;
  std::vector<AnswerColumn> columns_;
  std::string kept_;
  bool keeps_rows_ = false;

  // ---- the message that is being read
  std::array<std::uint8_t, protocol::pg::header_bytes> header_{};
  std::size_t header_used_ = 0;
  char type_ = 0;
  std::uint64_t body_left_ = 0;
  protocol::pg::Bytes body_;  // of one that must be whole: where it was read, or what has been gathered of it
  std::string gathered_;

  // ---- the row that is being read
  Row row_state_ = Row::count;
  ShapeHash row_;
  std::uint32_t fields_left_ = 0;
  std::uint32_t value_left_ = 0;
  std::uint64_t word_ = 0;
  std::size_t word_used_ = 0;
  std::array<std::uint8_t, 4> partial_{};
  std::size_t partial_used_ = 0;

  AnswerTally tally_;
  std::uint64_t columns_before_ = 0;  // of the results before the one that is being read
};

}  // namespace turnout::router
