// proxy/shadow_lane.h before a server of MySQL or MariaDB.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "proxy/mysql/server_connection.h"
#include "proxy/mysql/shadow_request.h"
#include "proxy/shadow_lane.h"
#include "router/mysql_answer.h"

namespace turnout::proxy::mysql {

class ShadowLane final : public proxy::ShadowLane, public LineKeeper {
 public:
  using proxy::ShadowLane::ShadowLane;
  ~ShadowLane() override;

  // ---- from the connection
  void line_opened() override { opened(); }
  void line_failed() override { lost(); }
  [[nodiscard]] std::size_t line_bytes(protocol::mysql::Bytes data) override;

 private:
  using Bytes = protocol::mysql::Bytes;
  using Received = protocol::mysql::Exchange::Received;

  [[nodiscard]] std::unique_ptr<Connection> make_connection() override;
  [[nodiscard]] std::size_t put(std::span<const ShadowRead* const> reads, std::uint64_t kept_bytes_max) override;
  void forget_answer() override { reader_.reset(); }
  [[nodiscard]] std::optional<Abandoned> cut_short() override;

  [[nodiscard]] ServerConnection& connection() { return of_mysql(*connection_); }
  [[nodiscard]] bool goes_along(const ShadowRequest& request);
  void put_request(std::string& out, const ShadowRequest& request);
  void put_state(std::string& out, const ShadowRequest& request);
  void ask(std::string& out, protocol::mysql::Command command, std::string_view payload, std::uint32_t statement = 0);
  void ask_execute(std::string& out, std::uint32_t statement);
  [[nodiscard]] std::size_t take_packet(Bytes rest);
  void take_own(const Received& received, Bytes payload);
  void begin_answer();
  void finish();

  struct Asked {
    bool is_prepared;
    bool is_as_usual;  // nothing was sent that its latency on the writer did not have
  };
  std::vector<Asked> asked_;  // together, in order
  std::size_t at_ = 0;        // of them, whose answer comes
  std::uint64_t kept_bytes_max_ = 0;
  std::optional<router::MysqlAnswerReader> reader_;  // of it; none: no answer is awaited
  std::string execute_, key_;                        // of the prepared statement that was asked for last
  bool is_over_ = false;                             // nothing more of the answer comes
  bool is_spoiled_ =
      false;  // what precedes the read has failed: that is its answer, and the connection is not used again
};

[[nodiscard]] inline std::unique_ptr<proxy::ShadowLane> shadow_lane(ShadowRunner& runner, Account& account,
                                                                    router::Side side) {
  return std::make_unique<ShadowLane>(runner, account, side);
}

}  // namespace turnout::proxy::mysql
