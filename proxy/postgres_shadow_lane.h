// shadow_lane.h before a PostgreSQL server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "proxy/server_connection.h"
#include "proxy/shadow_lane.h"
#include "proxy/shadow_request.h"
#include "router/shadow_answer.h"

namespace turnout::proxy {

class PostgresShadowLane final : public ShadowLane, public LineKeeper {
 public:
  using ShadowLane::ShadowLane;
  ~PostgresShadowLane() override;

  // ---- from the connection
  void line_opened(ServerConnection& line) override;
  void line_failed(ServerConnection& line, const LoginFailure& failure) override;
  void line_answered(ServerConnection& line) override;
  void line_notified(ServerConnection& line, protocol::pg::Bytes body) override;
  void line_read() override;
  [[nodiscard]] bool reads_itself() const override { return true; }
  [[nodiscard]] std::size_t line_bytes(ServerConnection& line, protocol::pg::Bytes data) override;

 private:
  [[nodiscard]] std::unique_ptr<Connection> make_connection() override;
  [[nodiscard]] std::size_t put(std::span<const ShadowRead* const> reads, std::uint64_t kept_bytes_max) override;
  void forget_answer() override;
  [[nodiscard]] std::optional<Abandoned> cut_short() override;
  void begin_answer();
  [[nodiscard]] std::size_t read_through(TypeLens& lens, protocol::pg::Bytes data);
  void take_piece(TypeLens& lens, std::string message, protocol::pg::Bytes body, bool is_last);
  void finish();

  struct Asked {
    const ShadowRequest* request;  // the runner keeps it until it is answered
    ShadowSent sent;
  };
  std::uint64_t kept_bytes_max_ = 0;
  std::vector<Asked> asked_;                    // together, in order
  std::size_t at_ = 0;                          // of them, whose answer comes
  std::optional<router::AnswerReader> reader_;  // of it; none: no answer is awaited
  std::uint64_t body_left_ = 0;                 // of a message that goes through the lens
};

[[nodiscard]] inline std::unique_ptr<ShadowLane> postgres_shadow_lane(ShadowRunner& runner, Account& account,
                                                                      router::Side side) {
  return std::make_unique<PostgresShadowLane>(runner, account, side);
}

}  // namespace turnout::proxy
