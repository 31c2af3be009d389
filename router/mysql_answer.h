// shadow_answer.h for answers of MySQL and MariaDB: the same digest, made of what the exchange (protocol/mysql) has
// told of each packet. Text rows and binary ones; how a result ends, warnings, and the state of the session are no part
// of it.
//
// A row's bytes have one form for one value, so they are hashed as they are, once its lengths are seen to fill the row
// exactly; one that does not is AnswerGap::malformed. Rows that come cut are put together first; a long one is then
// AnswerGap::too_long.
// What is kept for shadow_rows.h has the form of PostgreSQL's DataRow, floats of binary rows too.
// Source: MySQL "Text Resultset Row", "Binary Protocol Resultset Row", "Column Definition"; MariaDB same names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "protocol/mysql/exchange.h"
#include "protocol/mysql/result.h"
#include "router/shadow_answer.h"

namespace turnout::router {

// The class of an error, five characters: its SQLSTATE, and where that says nothing (HY000) its number.
[[nodiscard]] std::string mysql_error_class(const protocol::mysql::Error& error);

class MysqlAnswerReader {
 public:
  using Limits = AnswerReader::Limits;
  using Bytes = protocol::mysql::Bytes;
  // `is_binary`: of an execution of a prepared statement.
  MysqlAnswerReader(const ShapeHash& start, const Limits& limits, bool is_binary);

  // Of the connection that answers; before anything of the answer.
  void begin(protocol::mysql::Capabilities capabilities) { capabilities_ = capabilities; }
  // The next packet of the answer, as much of its payload as is there; the rest comes by take_more().
  void take(const protocol::mysql::Exchange::Received& received, const protocol::mysql::Header& header, Bytes payload);
  void take_more(Bytes payload);
  void take_rows(Bytes packets);  // whole ones, rows and nothing else
  // The preparing has failed: that is the answer.
  void take_error(const protocol::mysql::Error& error);

  [[nodiscard]] bool is_over() const { return is_over_; }
  [[nodiscard]] const AnswerDigest& digest() const { return digest_; }
  [[nodiscard]] const std::vector<AnswerColumn>& columns() const { return columns_; }
  [[nodiscard]] const std::string& kept() const { return kept_; }
  [[nodiscard]] bool keeps_rows() const { return keeps_rows_; }

 private:
  void take_whole(Bytes payload);
  void take_column(Bytes payload);
  void take_row(Bytes payload);
  bool keep_text_row(Bytes payload);
  bool keep_binary_row(Bytes payload);
  void keep_value(std::size_t column, Bytes value);
  void keep_null();
  void end_answer();
  void give_up(AnswerGap gap);
  void keep_no_more();

  const ShapeHash start_;
  const Limits limits_;
  const bool is_binary_;
  protocol::mysql::Capabilities capabilities_ = 0;
  bool is_over_ = false;
  AnswerDigest digest_;
  AnswerTally tally_;
  std::vector<AnswerColumn> columns_;
  std::vector<std::uint8_t> types_;  // of the columns
  ShapeHash described_;              // the columns so far
  std::string kept_;
  bool keeps_rows_ = false;

  // ---- the packet that is being put together
  bool is_column_ = false;
  std::size_t missing_ = 0;
  std::string partial_;
};

}  // namespace turnout::router
