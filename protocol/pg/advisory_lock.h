// The session-level advisory locks of a server connection: how they are asked for, and the texts that take the same
// ones on another connection and let go of the first. Every text gives one row with one column for each lock, in order.
//
// Source: PostgreSQL manual 9.28.10 (functions) and 53.13 pg_locks: a bigint key has its high half in classid, its low
// half in objid and objsubid 1; two int keys are classid and objid, with objsubid 2. A lock that is taken n times is
// let go n times; pg_locks does not say how often.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace turnout::protocol::pg {

struct AdvisoryLock {
  std::uint32_t high = 0, low = 0;
  bool is_pair = false;    // two int keys
  bool is_shared = false;  // else exclusive
  bool is_wanted = false;  // somebody waits for it
  std::uint32_t times = 1;

  [[nodiscard]] std::string key() const;   // as arguments: '42'::pg_catalog.int8
  [[nodiscard]] std::string text() const;  // for people: 42, (4, 2), with "shared"
  [[nodiscard]] bool is_same(const AdvisoryLock& other) const;
};

using AdvisoryLocks = std::vector<AdvisoryLock>;

// A text that asks for one lock, waits for it and does nothing else: cancelled while it waits, it has left nothing, and
// may be run again. Only what is known to be such a text: no FROM, no functions but those that make a key.
[[nodiscard]] bool waits_for_one_lock(std::string_view sql);

[[nodiscard]] std::string ask_advisory_locks();
// A row of the answer. Nothing: not such a row.
[[nodiscard]] std::optional<AdvisoryLock> parse_advisory_lock(std::string_view row);

[[nodiscard]] std::string try_advisory_locks(const AdvisoryLocks& locks);  // t: taken
[[nodiscard]] std::optional<std::uint32_t> parse_count(std::string_view row);
// Once each, t: it was held; behind these rows those of ask_advisory_locks(): what was held more often.
[[nodiscard]] std::string release_advisory_locks(const AdvisoryLocks& locks);
[[nodiscard]] std::string drain_advisory_locks(const AdvisoryLocks& locks);  // until none is held: how often it was
// `times` of those that are held once. They are there already, so nothing waits.
[[nodiscard]] std::string repeat_advisory_locks(const AdvisoryLocks& locks);

}  // namespace turnout::protocol::pg
