// A Postgres server of a few lines for tests of the data path: real sockets, a thread a connection, answers it was
// told.
//
// It logs anybody in, answers every simple query with one row holding the server's name (or "off" to the proof), and
// counts. It keeps transaction state by the first word, so that releases at safe points can be checked.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace turnout::proxy {

class FakeServer {
 public:
  explicit FakeServer(std::string name);
  ~FakeServer();
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::uint64_t queries() const { return queries_.load(); }
  [[nodiscard]] std::uint64_t connections() const { return connections_.load(); }
  [[nodiscard]] std::uint64_t open() const { return open_.load(); }
  [[nodiscard]] std::uint64_t cancels() const { return cancels_.load(); }
  [[nodiscard]] std::uint64_t most_at_once() const { return most_at_once_.load(); }
  [[nodiscard]] std::uint64_t most_proofs_at_once() const { return most_proofs_.load(); }
  // Every query text, in the order it arrived; the proof's and ours included.
  [[nodiscard]] std::vector<std::string> texts() const;

  std::atomic<bool> is_read_only{false};        // what SHOW transaction_read_only says
  std::atomic<bool> fails_reads{false};         // answers every SELECT with 25006
  std::atomic<bool> ends_behind_answer{false};  // a FATAL in the same packet as the answer to a SELECT, and it closes
  std::atomic<bool> hangs_up{false};            // at a SELECT, without an answer
  std::atomic<bool> talks_nonsense{false};      // a message of an impossible length for each SELECT
  std::atomic<int> delay_ms{0};                 // before each answer
  std::atomic<bool> refuses_strangers{false};   // lets in nobody whose name begins so
  std::atomic<bool> knows_only_3_0{false};      // refuses to speak of any other version of the protocol

 private:
  void accept_loop();
  void serve(int fd);

  const std::string name_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> queries_{0}, connections_{0}, open_{0}, most_at_once_{0}, cancels_{0};
  std::atomic<std::uint64_t> proofs_{0}, most_proofs_{0};
  mutable std::mutex mutex_;
  std::vector<std::string> texts_;
  std::list<std::thread> threads_;
  std::vector<int> fds_;
  std::thread acceptor_;
};

// A blocking client: one login, then simple queries.
class FakeClient {
 public:
  FakeClient(std::uint16_t port, const std::string& user, const std::string& application = {});
  ~FakeClient();
  FakeClient(const FakeClient&) = delete;
  FakeClient& operator=(const FakeClient&) = delete;

  struct Reply {
    std::string row;       // first column of the last row
    std::string sqlstate;  // of an error, "" without
    char status = '?';
    bool closed = false;
  };
  Reply query(const std::string& sql);
  void ask(const std::string& sql);  // a query without its answer: read_reply()
  void send(const std::string& bytes);
  Reply read_reply();  // up to ReadyForQuery
  [[nodiscard]] bool is_logged_in() const { return logged_in_; }
  [[nodiscard]] const std::string& login_sqlstate() const { return login_sqlstate_; }
  [[nodiscard]] std::uint32_t pid() const { return pid_; }
  [[nodiscard]] std::uint32_t key() const { return key_; }

 private:
  bool read_message(char& type, std::string& body);
  int fd_ = -1;
  bool logged_in_ = false;
  std::string login_sqlstate_;
  std::uint32_t pid_ = 0, key_ = 0;
};

}  // namespace turnout::proxy
