// What a running transaction has done to a session's settings, so that the server's undoing of it can be followed:
// ROLLBACK, an error that ends an implicit transaction, ROLLBACK TO a savepoint. Settings are kept twice, as the
// session wants them and as the connection has them; both are undone together.
//
// Always true: before the first change of a transaction, and of each savepoint, the state then is kept; a transaction
// that sets nothing keeps nothing but the names of its savepoints. Pure.
// Source: PostgreSQL manual, SET ("Description") and guc.c AtEOXact_GUC.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/parameters.h"

namespace turnout::proxy {

struct KeptSettings {
  Parameters session;     // as the client set them
  Parameters connection;  // as its server connection has them
};

class SettingJournal {
 public:
  // Before any change.
  void note_change(const Parameters& session, const Parameters& connection);
  // SET LOCAL: its end is no news.
  void note_local(std::string_view name);
  [[nodiscard]] bool was_local(std::string_view name) const;

  // false: too many to follow.
  [[nodiscard]] bool savepoint(std::string_view name);
  void release(std::string_view name);
  // What there was at the savepoint; nullptr: as it is.
  [[nodiscard]] const KeptSettings* rollback_to(std::string_view name);
  // What there was when the transaction began; nullptr: as it is. The journal is empty after commit().
  [[nodiscard]] const KeptSettings* rollback() const { return before_.get(); }
  void commit();

 private:
  struct Mark {
    std::string name;
    std::shared_ptr<const KeptSettings> before;
  };
  static constexpr std::size_t marks_max = 10'000;
  std::shared_ptr<const KeptSettings> before_;
  std::vector<Mark> marks_;  // savepoints, oldest first
  std::vector<std::string> locals_;
};

}  // namespace turnout::proxy
