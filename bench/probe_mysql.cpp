#include <mysql.h>

#include <array>
#include <cstdio>

#include "bench/probe_link.h"

namespace turnout::bench {
namespace {

struct Address {
  std::array<char, 64> user{}, host{}, database{};
  unsigned port = 0;
};

class MysqlLink final : public Link {
 public:
  explicit MysqlLink(const Address& address) : address_(address) {}
  ~MysqlLink() override { mysql_close(mysql_); }
  MysqlLink(const MysqlLink&) = delete;
  MysqlLink& operator=(const MysqlLink&) = delete;

  [[nodiscard]] bool open() {
    mysql_ = mysql_init(nullptr);
    mysql_options(mysql_, MYSQL_OPT_NONBLOCK, nullptr);
    // No password here: the library takes it from MYSQL_PWD.
    return mysql_real_connect(mysql_, address_.host.data(), address_.user.data(), nullptr, address_.database.data(),
                              address_.port, nullptr, 0) != nullptr;
  }
  [[nodiscard]] const char* trouble() const { return mysql_error(mysql_); }

  [[nodiscard]] int fd() const override { return static_cast<int>(mysql_get_socket(mysql_)); }

  [[nodiscard]] State send(const std::string& sql) override {
    sqlstate = "00000";
    sql_ = sql;  // the library reads it as long as it is being sent
    is_storing_ = false;
    is_owed_ = true;
    int failed = 0;
    const int waits = mysql_real_query_start(&failed, mysql_, sql_.data(), sql_.size());
    return waits != 0 ? State::owed : queried(failed);
  }

  [[nodiscard]] State receive() override {
    if (!is_owed_) return State::lost;  // nothing was asked: its last words, or its end
    if (is_storing_) {
      MYSQL_RES* rows = nullptr;
      return mysql_store_result_cont(&rows, mysql_, MYSQL_WAIT_READ) != 0 ? State::owed : stored(rows);
    }
    int failed = 0;
    return mysql_real_query_cont(&failed, mysql_, MYSQL_WAIT_READ) != 0 ? State::owed : queried(failed);
  }

  void reconnect() override {
    mysql_close(mysql_);
    if (!open()) std::fprintf(stderr, "probe: %s\n", trouble());
  }

 private:
  State queried(int failed) {
    if (failed != 0) return refused();
    if (mysql_field_count(mysql_) == 0) return answered();
    is_storing_ = true;
    MYSQL_RES* rows = nullptr;
    return mysql_store_result_start(&rows, mysql_) != 0 ? State::owed : stored(rows);
  }

  State stored(MYSQL_RES* rows) {
    if (rows == nullptr) return refused();
    mysql_free_result(rows);
    return answered();
  }

  State answered() {
    is_owed_ = false;
    return State::answered;
  }

  State refused() {
    is_owed_ = false;
    constexpr unsigned of_client = 2000;  // and above: it was not the server that said so
    sqlstate = mysql_sqlstate(mysql_);
    message = mysql_error(mysql_);
    message += '\n';
    return mysql_errno(mysql_) < of_client ? State::answered : State::lost;
  }

  const Address address_;
  MYSQL* mysql_ = nullptr;
  std::string sql_;
  bool is_owed_ = false;
  bool is_storing_ = false;  // the rows are on their way
};

}  // namespace

std::unique_ptr<Link> connect_mysql(const char* address) {
  Address parsed;
  if (std::sscanf(address, "mysql://%63[^@]@%63[^:]:%u/%63s", parsed.user.data(), parsed.host.data(), &parsed.port,
                  parsed.database.data()) != 4) {
    std::fprintf(stderr, "probe: not mysql://USER@HOST:PORT/DATABASE: %s\n", address);
    return nullptr;
  }
  auto link = std::make_unique<MysqlLink>(parsed);
  if (link->open()) return link;
  std::fprintf(stderr, "probe: %s\n", link->trouble());
  return nullptr;
}

}  // namespace turnout::bench
