#include "control/replica_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/preflight_look.h"

namespace turnout::control {

namespace {

constexpr int major_factor = 10'000;
constexpr int oldest_major = 15;

bool has(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// The checks share a list; each database that green follows already is past all of them.
class Audit {
 public:
  explicit Audit(const ReplicaFacts& facts) : facts_(facts) {
    for (const auto& database : facts.databases) {
      if (!database.is_followed) fresh_.push_back(&database);
    }
  }

  [[nodiscard]] std::vector<Check> run() {
    servers();
    if (fresh_.empty()) return std::move(checks_);
    databases();
    room();
    roles();
    extensions();
    objects();
    identity();
    add("replicate.pg_dump", facts_.no_dump.empty() ? std::vector<std::string>{} : std::vector{facts_.no_dump}, "found",
        "a pg_dump that knows blue's version",
        "install the client programs of green's version (Debian: apt-get install postgresql-client-NN, from "
        "apt.postgresql.org where Debian's own are older), or name the program in deployments.D.replicate.pg_dump");
    reachable();
    return std::move(checks_);
  }

 private:
  void add(const char* name, const std::vector<std::string>& bad, std::string fine, std::string bound,
           std::string todo) {
    const bool passed = bad.empty();
    checks_.push_back({name, passed ? Verdict::pass : Verdict::fail, passed ? std::move(fine) : some_of(bad),
                       std::move(bound), passed ? "" : std::move(todo), false});
  }

  void servers() {
    std::vector<std::string> same, weak, levels, old;
    if (facts_.blue.system_identifier == facts_.green.system_identifier)
      same.push_back("blue and green are the same server (system_identifier " + facts_.blue.system_identifier + ')');
    if (facts_.blue.is_standby) same.emplace_back("blue is a standby");
    if (facts_.green.is_standby) same.emplace_back("green is a standby");
    add("identity", same, "two servers, both primaries", "two primaries",
        "see deployments.D.blue and green; a standby or a copy of blue's files cannot be followed into: green is a new "
        "cluster, made by initdb");
    const auto look = [&](const char* side, const ServerFacts& server) {
      if (!server.is_superuser) weak.push_back(std::string("the admin is no superuser on ") + side);
      if (server.wal_level != "logical") levels.push_back(std::string(side) + " has " + server.wal_level);
      if (server.version / major_factor < oldest_major)
        old.push_back(fmt::format("{} is PostgreSQL {}", side, server.version / major_factor));
    };
    look("blue", facts_.blue);
    look("green", facts_.green);
    if (facts_.green.version / major_factor < facts_.blue.version / major_factor)
      old.push_back(fmt::format("green ({}) is older than blue ({})", facts_.green.version / major_factor,
                                facts_.blue.version / major_factor));
    add("privileges", weak, "superuser on both sides", "superuser", "ALTER ROLE … SUPERUSER for deployments.D.admin");
    add("version", old, "fit", "15 or newer, green not older than blue", "upgrade it first");
    add("wal_level", levels, "logical on both sides", "logical, for both directions",
        "ALTER SYSTEM SET wal_level = logical, and restart that server");
  }

  void databases() {
    std::vector<std::string> lost, missing, encodings;
    std::string todo;
    for (const auto* database : fresh_) {
      if (!database->is_on_blue) {
        lost.push_back(database->name + " does not exist on blue");
      } else if (!database->is_on_green) {
        missing.push_back(database->name + " does not exist on green");
        todo += (todo.empty() ? "" : "; ") + database->create_sql;
      } else if (database->blue_encoding != database->green_encoding) {
        encodings.push_back(database->name + " has " + database->blue_encoding + " on blue and " +
                            database->green_encoding + " on green");
      }
    }
    add("replicate.source", lost, std::to_string(fresh_.size()) + " databases", "every database is on blue",
        "see deployments.D.databases");
    add("replicate.database", missing, "there, on both sides", "every database is on green, and empty",
        "on green: " + todo);
    add("replicate.encoding", encodings, "the same", "the same encoding on both sides",
        "drop that database on green and make it anew: CREATE DATABASE … TEMPLATE template0 ENCODING …");
  }

  // While tables are copied each takes a slot and a walsender of blue, a worker and an origin of green. Green's own
  // slots are for the way back and the guard.
  void room() {
    const auto streams = static_cast<std::int64_t>(fresh_.size());
    const auto all = streams * (1 + std::max<std::int64_t>(1, facts_.green.sync_workers));
    std::vector<std::string> bad;
    const auto need = [&](const char* what, std::int64_t free, std::int64_t wanted) {
      if (free < wanted) bad.push_back(fmt::format("{}: {} free, {} needed", what, free, wanted));
    };
    need("max_replication_slots on blue", facts_.blue.slots_free, all);
    need("max_wal_senders on blue", facts_.blue.senders_free, all);
    need("max_logical_replication_workers on green", facts_.green.workers_free, streams + 1);
    need("max_replication_slots on green", facts_.green.slots_free, 2 * streams);
    need("replication origins on green", facts_.green.origins_free, all);
    add("replicate.room", bad, "enough",
        "slots, walsenders, workers and origins for every subscription and the tables it copies at the same time",
        "raise the setting named and restart that server (origins: max_active_replication_origins from 18, else "
        "max_replication_slots; workers also need max_worker_processes), or lower green's "
        "max_sync_workers_per_subscription");
  }

  void roles() {
    std::vector<std::string> bad, spaces;
    for (const auto& role : facts_.blue.roles) {
      if (!has(facts_.green.roles, role)) bad.push_back(role + " does not exist on green");
    }
    for (const auto& space : facts_.blue.tablespaces) {
      if (!has(facts_.green.tablespaces, space)) spaces.push_back(space + " does not exist on green");
    }
    add("roles.parity", bad, std::to_string(facts_.blue.roles.size()) + " roles", "every role of blue",
        "pg_dumpall --roles-only from blue, into green: the copied schema names owners and grants");
    add("replicate.tablespaces", spaces, "the same", "every tablespace of blue",
        "CREATE TABLESPACE on green under the same name");
  }

  void extensions() {
    std::vector<std::string> bad;
    for (const auto* database : fresh_) {
      if (!database->is_on_green) continue;
      for (const auto& extension : database->extensions) {
        if (!has(database->available, extension))
          bad.push_back(extension + " of " + database->name + " cannot be made on green");
      }
    }
    add("extensions.parity", bad, "all can be made", "every extension of blue is installed for green's version",
        "install the extension's package for green's version");
  }

  void objects() {
    std::vector<std::string> bad;
    for (const auto* database : fresh_) {
      for (const auto& object : database->objects_on_green) bad.push_back(database->name + ": " + object);
    }
    add("replicate.empty_green", bad, "empty", "nothing of anybody in green's databases",
        "drop that database on green and make it anew; or, if what is there is a copy already, make the publication "
        "and the subscription by hand");
  }

  // UPDATE and DELETE of such a table would fail on blue itself from the moment it is published.
  void identity() {
    std::vector<std::string> bad;
    for (const auto* database : fresh_) {
      for (const auto& table : database->without_identity) bad.push_back(database->name + ": " + table);
    }
    add("replica_identity", bad, "every table has one", "a valid primary key, or REPLICA IDENTITY USING INDEX or FULL",
        "on blue: ALTER TABLE … ADD PRIMARY KEY, or ALTER TABLE … REPLICA IDENTITY FULL");
  }

  void reachable() {
    std::vector<std::string> bad, taken;
    for (const auto* database : fresh_) {
      if (!database->unreachable.empty()) bad.push_back(database->name + ": " + database->unreachable);
      if (database->slot == SlotState::active) taken.push_back("the slot for " + database->name + " is in use");
      if (database->slot == SlotState::foreign)
        taken.push_back("the slot for " + database->name + " belongs to another plugin or database");
    }
    add("replicate.reachable", bad, "tried and taken back", "green can log in to blue, for replication",
        "see deployments.D.replication (user, password_file, blue_address, tls), blue's pg_hba.conf and the role's "
        "REPLICATION");
    add("replicate.slot", taken, "free", "the name of the slot on blue is free",
        "see pg_replication_slots on blue: end what follows it, or drop it");
  }

  const ReplicaFacts& facts_;
  std::vector<const DatabaseFacts*> fresh_;
  std::vector<Check> checks_;
};

}  // namespace

std::vector<Check> audit(const ReplicaFacts& facts) {
  return Audit(facts).run();
}

const char* name(ReplicaStep step) {
  switch (step) {
    case ReplicaStep::copy_schema:
      return "schema";
    case ReplicaStep::make_publication:
      return "publication";
    case ReplicaStep::drop_lost_slot:
    case ReplicaStep::make_slot:
      return "slot";
    case ReplicaStep::make_subscription:
      return "subscription";
    case ReplicaStep::await_copy:
      return "copy";
    case ReplicaStep::analyze:
      return "analyze";
  }
  return "?";
}

std::vector<ReplicaStep> steps_for(const DatabaseFacts& database) {
  std::vector<ReplicaStep> steps;
  if (!database.is_followed) {
    if (!database.is_schema_copied) steps.push_back(ReplicaStep::copy_schema);
    // Also when it is there: tables may have come since.
    steps.push_back(ReplicaStep::make_publication);
    if (database.slot == SlotState::lost) steps.push_back(ReplicaStep::drop_lost_slot);
    // A slot from an earlier run will do: what it has of a table before that table's copy is skipped.
    if (database.slot == SlotState::absent || database.slot == SlotState::lost) steps.push_back(ReplicaStep::make_slot);
    steps.push_back(ReplicaStep::make_subscription);
  }
  steps.push_back(ReplicaStep::await_copy);
  steps.push_back(ReplicaStep::analyze);
  return steps;
}

CopyProgress progress_of(const std::vector<TableProgress>& tables) {
  CopyProgress progress;
  for (const auto& table : tables) {
    const bool copied = table.state != 'i' && table.state != 'd';
    ++progress.tables;
    if (table.state == 'r') ++progress.tables_ready;
    progress.bytes_total += table.size;
    progress.bytes_copied += copied ? table.size : std::min(table.bytes_copied, table.size);
  }
  return progress;
}

boost::json::object to_json(const Made& made) {
  return {
      {"what", made.what}, {"database", made.database}, {"name", made.name}, {"side", made.side}, {"undo", made.undo}};
}

std::vector<Made> still_made(const std::vector<Record>& records) {
  std::vector<Made> list;
  for (const auto& record : records) {
    if (record.kind != RecordKind::made) continue;
    const Made one{text_of(record.data, "what"), text_of(record.data, "database"), text_of(record.data, "name"),
                   text_of(record.data, "side"), text_of(record.data, "undo")};
    std::erase_if(list, [&](const Made& known) { return known.what == one.what && known.database == one.database; });
    if (text_of(record.data, "undone").empty()) list.push_back(one);
  }
  return list;
}

}  // namespace turnout::control
