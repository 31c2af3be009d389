// The decision store of a single proxy: one append-only file in state_dir, fsynced record by record.
//
// File: "TURNOUT1", then records: length (4 bytes, little endian), CRC-32C of the payload (4), payload (one JSON object
// {d, e, k, x}). A tail that was cut while being written is dropped at open, because nobody was told that it is
// durable; a damaged record that has a sound one behind it was durable once, and open() refuses: guessing a decision is
// worse. A decision is written twice in one write, so that no single damaged sector can take it away. One process a
// state_dir: open() takes flock on "lock" and keeps it until the store is destroyed.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "control/decision_store.h"

namespace turnout::control {

// The bytes of one record, and all records of a file's content. Pure, for the tests of damaged files.
[[nodiscard]] std::string encode(const Record& record);
struct Decoded {
  std::vector<Record> records;
  std::size_t sound_bytes = 0;  // up to here everything is whole; the rest is a torn tail
  std::string damage;           // not empty: a sound record stands behind a damaged one
};
[[nodiscard]] Decoded decode(std::string_view content);

class LocalStore : public DecisionStore {
 public:
  // Throws std::runtime_error: directory cannot be made or locked, file is damaged or of another program.
  explicit LocalStore(const std::filesystem::path& state_dir);
  ~LocalStore() override;

  [[nodiscard]] drain::Decision decide(const std::string& deployment, std::uint64_t epoch, drain::Decision wanted,
                                       boost::json::object detail) override;
  [[nodiscard]] drain::Decision decision(const std::string& deployment, std::uint64_t epoch) override;
  [[nodiscard]] std::string append(const Record& record) override;
  [[nodiscard]] std::vector<Record> records(const std::string& deployment) override;

 private:
  [[nodiscard]] std::string write_durably(std::string_view bytes);
  [[nodiscard]] drain::Decision held(const std::string& deployment, std::uint64_t epoch) const;

  std::filesystem::path file_;
  int lock_ = -1;
  int log_ = -1;
  bool broken_ = false;  // a write failed half-way: what is on disk is not known, so nothing is promised any more
  std::size_t size_ = 0;
  std::vector<Record> records_;
  std::mutex mutex_;
};

}  // namespace turnout::control
