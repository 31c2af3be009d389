// Reading the state of all sequences of a database, thousands of them: names, steps and plans are learned once, before
// the hold, so that the window asks for numbers only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "control/pg_client.h"
#include "control/streams.h"

namespace turnout::control {

// Of one database of one server. Without sequences of temporary tables and of schema turnout.
struct SequenceBook {
  std::vector<SequenceState> states;                          // by name, in order
  std::vector<std::pair<std::uint32_t, std::size_t>> by_oid;  // OID → index into `states`; in order of OIDs
  std::vector<std::vector<std::size_t>> silent;               // indices; what one statement asks for, see below
  std::string version;                                        // of the catalog's entries: names and steps

  // nullptr: none of ours.
  [[nodiscard]] const SequenceState* find(std::uint32_t oid) const;
};

// Before 18 a server tells nothing of a sequence that was never drawn from, though setval(…, false) may have moved it:
// such a silent one is asked itself, and a hundred of them in one statement.
[[nodiscard]] PgOutcome<SequenceBook> read_sequence_book(PgClient& client);
// Plans on this connection what read_again() will ask of the silent ones.
[[nodiscard]] PgOutcome<bool> plan_sequence_reads(PgClient& client, const SequenceBook& book);
// The states now, by name, in order. A catalog that has changed since the book was made costs a full reading.
[[nodiscard]] PgOutcome<std::vector<SequenceState>> read_again(PgClient& client, const SequenceBook& book);
// Asks the named ones themselves and puts their states in place.
[[nodiscard]] PgOutcome<bool> ask_each(PgClient& client, std::vector<SequenceState>& states);

}  // namespace turnout::control
