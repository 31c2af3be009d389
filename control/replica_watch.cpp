#include "control/replicate.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t cancel_ms_max = 2'000;

}  // namespace

void ReplicaWatch::phase(const std::string& name, const std::string& database) {
  News now;
  {
    const std::lock_guard guard(mutex_);
    news_.phase = name;
    news_.database = database;
    news_.note.clear();
    now = news_;
    now.has_moved = true;
  }
  tell_(now);
}

void ReplicaWatch::copy(const CopyProgress& progress, const std::string& note) {
  News now;
  {
    const std::lock_guard guard(mutex_);
    if (news_.copy == progress && news_.note == note) return;
    news_.copy = progress;
    news_.note = note;
    now = news_;
  }
  tell_(now);
}

ReplicaWatch::News ReplicaWatch::news() const {
  const std::lock_guard guard(mutex_);
  return news_;
}

void ReplicaWatch::begins(const PgClient& client) {
  const std::lock_guard guard(mutex_);
  busy_ = Busy{client.target().side, client.pid()};
}

void ReplicaWatch::ended() {
  const std::lock_guard guard(mutex_);
  busy_.reset();
}

void ReplicaWatch::reset() {
  const std::lock_guard guard(mutex_);
  news_ = News{};
  cancelled_ = false;
}

void ReplicaWatch::cancel(Shelf& shelf) {
  std::optional<Busy> busy;
  {
    const std::lock_guard guard(mutex_);
    cancelled_ = true;
    busy = busy_;
  }
  if (!busy) return;
  auto client = shelf.fresh(busy->side, "postgres", cancel_ms_max);
  // Not reached: then the statement's own limit ends it.
  if (client)
    static_cast<void>(client->query("SELECT pg_cancel_backend(" + std::to_string(busy->pid) + ')', cancel_ms_max));
}

}  // namespace turnout::control
