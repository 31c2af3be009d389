#include <libpq-fe.h>

#include <cstdio>

#include "bench/probe_link.h"

namespace turnout::bench {
namespace {

class PostgresLink final : public Link {
 public:
  explicit PostgresLink(PGconn* pg) : pg_(pg) { PQsetnonblocking(pg_, 1); }
  ~PostgresLink() override { PQfinish(pg_); }
  PostgresLink(const PostgresLink&) = delete;
  PostgresLink& operator=(const PostgresLink&) = delete;

  [[nodiscard]] int fd() const override { return PQsocket(pg_); }

  [[nodiscard]] State send(const std::string& sql) override {
    sqlstate = "00000";
    return PQsendQuery(pg_, sql.c_str()) == 1 ? State::owed : lost();
  }

  [[nodiscard]] State receive() override {
    if (PQconsumeInput(pg_) != 1) return lost();
    while (PQisBusy(pg_) == 0) {
      PGresult* result = PQgetResult(pg_);
      if (result == nullptr) return State::answered;
      const ExecStatusType status = PQresultStatus(result);
      if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        const char* told = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        sqlstate = told != nullptr ? told : "08006";
        message = PQresultErrorMessage(result);
      }
      PQclear(result);
    }
    return State::owed;
  }

  void reconnect() override {
    PQreset(pg_);
    PQsetnonblocking(pg_, 1);
  }

 private:
  State lost() {
    sqlstate = "08006";
    message = PQerrorMessage(pg_);
    return State::lost;
  }

  PGconn* pg_;
};

}  // namespace

std::unique_ptr<Link> connect_postgres(const char* address) {
  PGconn* pg = PQconnectdb(address);
  if (PQstatus(pg) == CONNECTION_OK) return std::make_unique<PostgresLink>(pg);
  std::fprintf(stderr, "probe: %s", PQerrorMessage(pg));
  PQfinish(pg);
  return nullptr;
}

}  // namespace turnout::bench
