// One connection of the probe, of whichever protocol: one statement at a time, and nobody waits for its answer.
//
// Always true: between send() and the end of its answer, fd() is watched for reading only; statements are so short that
// a socket takes them whole.
#pragma once

#include <memory>
#include <string>

namespace turnout::bench {

class Link {
 public:
  enum class State { owed, answered, lost };

  virtual ~Link() = default;
  [[nodiscard]] virtual int fd() const = 0;
  [[nodiscard]] virtual State send(const std::string& sql) = 0;
  [[nodiscard]] virtual State receive() = 0;  // there is something to read
  virtual void reconnect() = 0;               // waits until it is made anew

  std::string sqlstate;  // of the last answer; 00000: all went well
  std::string message;   // what the server said, if it did not
};

// Nothing: it cannot be had; what is wrong was printed. `address`: libpq's words, or mysql://USER@HOST:PORT/DATABASE
// with the password in MYSQL_PWD.
[[nodiscard]] std::unique_ptr<Link> connect_postgres(const char* address);
[[nodiscard]] std::unique_ptr<Link> connect_mysql(const char* address);

}  // namespace turnout::bench
