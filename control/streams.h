// Which databases move, and what carries each of them: found in the two servers, whoever made it and however it is
// named.
//
// A stream is one subscription on the side that follows (`to`), with its publication and slot on the writer (`from`).
// A database may have several (one for its big tables, say): together they carry it, and each proves its own part. The
// way back is one stream a database, whatever came forward.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "control/shelf.h"
#include "drain/cutover.h"

namespace turnout::control {

struct TableName {
  std::string schema, name;
  friend bool operator==(const TableName&, const TableName&) = default;
  [[nodiscard]] std::string quoted() const;
};

struct Stream {
  std::string database;
  std::string subscription, owner;  // on `to`
  std::int64_t subscription_oid = 0;
  std::string slot;  // on `from`; "" = none
  bool enabled = false;
  std::vector<std::string> publications;  // on `from`
};

struct Topology {
  router::Side from = router::Side::blue;
  std::vector<Stream> streams;
  std::vector<std::string> other_databases;  // of `from`, that do not move and hold user tables

  [[nodiscard]] router::Side to() const { return router::other(from); }
  [[nodiscard]] std::vector<std::string> databases() const;  // each once, in the order of the streams
  // One a database, with what all of its streams publish; the rest is of its first stream.
  [[nodiscard]] std::vector<Stream> merged() const;
  [[nodiscard]] const Stream* find(const std::string& database) const;  // its first
  [[nodiscard]] bool has_several(const std::string& database) const;
};

// A sequence and the whole of its state.
struct SequenceState {
  std::string name;  // quoted, with its schema
  std::int64_t last_value = 0;
  bool is_called = false;
  std::int64_t increment = 1;
};

// Asks both servers. `databases` empty: all that `to` subscribes to.
[[nodiscard]] PgOutcome<Topology> discover(Shelf& shelf, router::Side from, const std::vector<std::string>& databases);
// Tables that the subscription carries, by `to`'s own book (pg_subscription_rel); without schema turnout.
[[nodiscard]] PgOutcome<std::vector<TableName>> carried_tables(PgClient& to, const Stream& stream);

// Names of what Turnout makes itself; `from` is the writer that the stream comes from. The publication of all that a
// database has, for the way back to where `side` is followed.
[[nodiscard]] std::string full_publication(router::Side side);
[[nodiscard]] std::string own_publication(router::Side from);
[[nodiscard]] std::string own_subscription(router::Side from);
[[nodiscard]] std::string own_slot(router::Side from, const std::string& database);
[[nodiscard]] std::string guard_slot(const std::string& database);
// A consumer's slot on `side`: its own one on blue, on green the one that we make for it.
[[nodiscard]] std::string anchor_slot(router::Side side, const std::string& consumer);

// A list as one text parameter, for json_array_elements_text().
[[nodiscard]] std::string json_list(const std::vector<std::string>& items);
// The texts of a JSON list; none of what is no list of texts.
[[nodiscard]] std::vector<std::string> texts_of_json(const std::string& list);

[[nodiscard]] boost::json::object to_json(const Topology& topology);
[[nodiscard]] Topology topology_of(const boost::json::object& facts);

}  // namespace turnout::control
