// A MariaDB server of a few lines for tests of the data path: real sockets, a thread a connection, answers it was told.
//
// It lets in who knows the password below, answers every SELECT with one row holding the server's name (or what the
// proof and the login ask for), keeps transactions by the first word, and tells of time_zone like a session tracker, if
// it is told to. SELECT SLEEP lasts until a KILL QUERY names its connection.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "protocol/mysql/capabilities.h"

namespace turnout::proxy {

inline constexpr const char* fake_mysql_password = "correct horse";
inline constexpr std::uint8_t fake_mysql_collation = 8;  // latin1_swedish_ci

class FakeMysql {
 public:
  explicit FakeMysql(std::string name);
  ~FakeMysql();
  FakeMysql(const FakeMysql&) = delete;
  FakeMysql& operator=(const FakeMysql&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::uint64_t connections() const { return connections_.load(); }
  [[nodiscard]] std::uint64_t open() const { return open_.load(); }
  [[nodiscard]] std::uint64_t most_at_once() const { return most_at_once_.load(); }
  [[nodiscard]] std::vector<std::string> texts() const;  // of queries, in the order they came

  std::atomic<bool> is_read_only{false};
  std::atomic<std::uint32_t> delay_ms{0};  // of each text

 private:
  void accept_loop();
  void serve(int fd, std::uint32_t number);
  void sleep_until_killed(std::uint32_t number);

  const std::string name_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<std::uint64_t> connections_{0}, open_{0}, most_at_once_{0};
  mutable std::mutex mutex_;
  std::vector<std::string> texts_;
  std::set<std::uint32_t> killed_, ended_;  // statements; connections
  std::condition_variable kills_;
  bool is_over_ = false;
  std::list<std::thread> threads_;
  std::vector<int> fds_;
  std::thread acceptor_;
};

// A blocking client: one login, then commands.
class FakeMysqlClient {
 public:
  FakeMysqlClient(std::uint16_t port, const std::string& user, const std::string& password = fake_mysql_password);
  ~FakeMysqlClient();
  FakeMysqlClient(const FakeMysqlClient&) = delete;
  FakeMysqlClient& operator=(const FakeMysqlClient&) = delete;

  struct Reply {
    std::string row;           // first column of the last row
    std::uint16_t error = 0;   // 0: none
    std::uint16_t status = 0;  // of the last OK
    bool closed = false;
  };
  Reply query(const std::string& sql);
  Reply ping();
  Reply set_option();  // COM_SET_OPTION: several statements in one text
  // COM_CHANGE_USER, with the change of plugin that it is answered by.
  Reply change_user(const std::string& user, const std::string& password = fake_mysql_password);
  [[nodiscard]] std::uint32_t number() const { return number_; }       // of its connection, as the greeting has it
  [[nodiscard]] std::uint8_t collation() const { return collation_; }  // of the greeting
  void send(const std::string& bytes);
  Reply read_reply();
  [[nodiscard]] bool is_logged_in() const { return logged_in_; }
  [[nodiscard]] std::uint16_t login_error() const { return login_error_; }

 private:
  int fd_ = -1;
  bool logged_in_ = false;
  std::uint16_t login_error_ = 0;
  std::uint32_t number_ = 0;
  std::uint8_t collation_ = 0;
  std::uint8_t expected_ = 1;  // the number of the next packet
  protocol::mysql::Capabilities capabilities_ = 0;
};

}  // namespace turnout::proxy
