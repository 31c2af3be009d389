#include "control/local_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <boost/crc.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

namespace turnout::control {

namespace {

constexpr std::string_view magic = "TURNOUT1";
constexpr std::size_t header_bytes = 8;
constexpr std::size_t record_bytes_max = 16 * 1024 * 1024;

std::uint32_t checksum(std::string_view payload) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;  // Castagnoli
  crc.process_bytes(payload.data(), payload.size());
  return crc.checksum();
}

void put_u32(std::string& out, std::uint32_t value) {
  for (unsigned shift = 0; shift < 32; shift += 8) out += static_cast<char>((value >> shift) & 0xFFU);
}

std::uint32_t get_u32(std::string_view bytes) {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) value |= std::uint32_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return value;
}

std::optional<Record> parse_payload(std::string_view payload) {
  boost::system::error_code error;
  const auto value = boost::json::parse({payload.data(), payload.size()}, error);
  if (error || !value.is_object()) return std::nullopt;
  const auto& object = value.get_object();
  const auto* deployment = object.if_contains("d");
  const auto* epoch = object.if_contains("e");
  const auto* kind = object.if_contains("k");
  const auto* data = object.if_contains("x");
  if (deployment == nullptr || !deployment->is_string() || epoch == nullptr || kind == nullptr || !kind->is_string() ||
      data == nullptr || !data->is_object()) {
    return std::nullopt;
  }
  const auto known = record_kind(std::string_view(kind->get_string()));
  boost::system::error_code not_a_number;
  const auto number = epoch->to_number<std::uint64_t>(not_a_number);
  if (!known || not_a_number) return std::nullopt;
  return Record{std::string(deployment->get_string()), number, *known, data->get_object()};
}

// A whole record at the beginning of `bytes`, and its size.
struct Whole {
  Record record;
  std::size_t size = 0;
};
std::optional<Whole> whole_record(std::string_view bytes) {
  if (bytes.size() < header_bytes) return std::nullopt;
  const std::size_t length = get_u32(bytes);
  if (length == 0 || length > record_bytes_max || bytes.size() - header_bytes < length) return std::nullopt;
  const auto payload = bytes.substr(header_bytes, length);
  if (checksum(payload) != get_u32(bytes.substr(4))) return std::nullopt;
  auto record = parse_payload(payload);
  if (!record) return std::nullopt;
  return Whole{std::move(*record), header_bytes + length};
}

std::string errno_text(const std::string& what) {
  return what + ": " + std::strerror(errno);
}

bool write_all(int file, std::string_view bytes, std::size_t at) {
  while (!bytes.empty()) {
    const auto written = pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
    at += static_cast<std::size_t>(written);
  }
  return true;
}

std::string read_all(int file) {
  std::string content;
  char block[65536];
  while (true) {
    const auto got = pread(file, block, sizeof block, static_cast<off_t>(content.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw std::runtime_error(errno_text("reading the decision log"));
    if (got == 0) return content;
    content.append(block, static_cast<std::size_t>(got));
  }
}

void sync_directory(const std::filesystem::path& directory) {
  const int handle = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle < 0) throw std::runtime_error(errno_text("opening state_dir " + directory.string()));
  const int synced = fsync(handle);
  close(handle);
  if (synced != 0) throw std::runtime_error(errno_text("fsync of state_dir " + directory.string()));
}

}  // namespace

std::string encode(const Record& record) {
  const std::string payload = boost::json::serialize(
      boost::json::object{{"d", record.deployment}, {"e", record.epoch}, {"k", name(record.kind)}, {"x", record.data}});
  std::string out;
  put_u32(out, static_cast<std::uint32_t>(payload.size()));
  put_u32(out, checksum(payload));
  return out + payload;
}

Decoded decode(std::string_view content) {
  Decoded decoded;
  if (content.size() < magic.size() || content.substr(0, magic.size()) != magic) {
    // A prefix of the magic is a file whose very first write was cut.
    if (magic.substr(0, content.size()) != content.substr(0, magic.size())) decoded.damage = "not a decision log";
    return decoded;
  }
  std::size_t at = magic.size();
  while (const auto whole = whole_record(content.substr(at))) {
    decoded.records.push_back(whole->record);
    at += whole->size;
  }
  decoded.sound_bytes = at;
  // Sound bytes behind unsound ones: the unsound ones were durable once.
  for (std::size_t behind = at + 1; behind < content.size(); ++behind) {
    if (whole_record(content.substr(behind))) {
      decoded.damage = "damaged at byte " + std::to_string(at) + ", sound again at byte " + std::to_string(behind);
      break;
    }
  }
  return decoded;
}

LocalStore::LocalStore(const std::filesystem::path& state_dir) : file_(state_dir / "decisions.log") {
  std::error_code error;
  std::filesystem::create_directories(state_dir, error);
  if (error) {
    throw std::runtime_error("state_dir " + state_dir.string() + " cannot be made: " + error.message() +
                             "; create it, or set control.state_dir to a directory that this user may write");
  }
  const auto lock_file = state_dir / "lock";
  lock_ = open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) throw std::runtime_error(errno_text("opening " + lock_file.string()));
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    close(lock_);
    throw std::runtime_error("state_dir " + state_dir.string() +
                             " is locked: another turnout uses it; stop that one or use another state_dir");
  }
  log_ = open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (log_ < 0) {
    close(lock_);
    throw std::runtime_error(errno_text("opening " + file_.string()));
  }
  try {
    const std::string content = read_all(log_);
    auto decoded = decode(content);
    if (!decoded.damage.empty()) {
      throw std::runtime_error(file_.string() + ": " + decoded.damage +
                               "; restore it from a backup, or look at both databases and turnout.journal before "
                               "removing it");
    }
    size_ = decoded.sound_bytes;
    records_ = std::move(decoded.records);
    if (size_ < magic.size() && !write_all(log_, magic, 0)) throw std::runtime_error(errno_text(file_.string()));
    size_ = std::max(size_, magic.size());
    if (ftruncate(log_, static_cast<off_t>(size_)) != 0 || fsync(log_) != 0) {
      throw std::runtime_error(errno_text(file_.string()));
    }
    sync_directory(state_dir);
  } catch (...) {
    close(log_);
    close(lock_);
    throw;
  }
}

LocalStore::~LocalStore() {
  close(log_);
  close(lock_);
}

std::string LocalStore::write_durably(std::string_view bytes) {
  if (broken_) return file_.string() + ": an earlier write failed; restart turnout to read back what is durable";
  // After a failed fsync the page cache may claim what the disk never got: only a new process may look again.
  if (!write_all(log_, bytes, size_) || fdatasync(log_) != 0) {
    broken_ = true;
    return errno_text("writing " + file_.string());
  }
  size_ += bytes.size();
  return "";
}

drain::Decision LocalStore::held(const std::string& deployment, std::uint64_t epoch) const {
  for (const auto& record : records_) {
    if (record.kind == RecordKind::decision && record.epoch == epoch && record.deployment == deployment) {
      return text_of(record.data, "decision") == "commit" ? drain::Decision::commit : drain::Decision::abort;
    }
  }
  return broken_ ? drain::Decision::unknown : drain::Decision::none;
}

drain::Decision LocalStore::decide(const std::string& deployment, std::uint64_t epoch, drain::Decision wanted,
                                   boost::json::object detail) {
  const std::lock_guard guard(mutex_);
  const auto stands = held(deployment, epoch);
  if (stands != drain::Decision::none) return stands;
  detail["decision"] = wanted == drain::Decision::commit ? "commit" : "abort";
  const Record record{deployment, epoch, RecordKind::decision, std::move(detail)};
  const std::string bytes = encode(record);
  if (!write_durably(bytes + bytes).empty()) return drain::Decision::unknown;
  records_.push_back(record);
  return wanted;
}

drain::Decision LocalStore::decision(const std::string& deployment, std::uint64_t epoch) {
  const std::lock_guard guard(mutex_);
  return held(deployment, epoch);
}

std::string LocalStore::append(const Record& record) {
  const std::lock_guard guard(mutex_);
  auto error = write_durably(encode(record));
  if (error.empty()) records_.push_back(record);
  return error;
}

std::vector<Record> LocalStore::records(const std::string& deployment) {
  const std::lock_guard guard(mutex_);
  std::vector<Record> mine;
  for (const auto& record : records_) {
    if (record.deployment == deployment) mine.push_back(record);
  }
  return mine;
}

}  // namespace turnout::control
