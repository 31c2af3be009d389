#include "control/metrics.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <utility>

#include "control/version.h"

namespace turnout::control {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr std::array<const char*, 15> phases = {"idle",   "preflight",  "warm",     "drain",     "fence",
                                                "prove",  "copy_state", "decide",   "flip",      "resume",
                                                "settle", "cooling",    "finished", "reverting", "unknown"};
constexpr std::array<double, 12> pause_bounds_s = {0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30};

using Labels = std::initializer_list<std::pair<const char*, std::string>>;

ClientMetric labelled(Labels labels) {
  ClientMetric metric;
  for (const auto& [name, value] : labels) metric.label.push_back({name, value});
  return metric;
}

// One family that grows value by value.
struct Family {
  MetricFamily family;

  Family(const char* name, const char* help, MetricType type) : family{name, help, type, {}} {}

  void add(Labels labels, double value) {
    ClientMetric metric = labelled(labels);
    if (family.type == MetricType::Counter) {
      metric.counter.value = value;
    } else {
      metric.gauge.value = value;
    }
    family.metric.push_back(std::move(metric));
  }
  void add(Labels labels, std::uint64_t value) { add(labels, static_cast<double>(value)); }
  void add(Labels labels, std::uint32_t value) { add(labels, static_cast<double>(value)); }
};

// `counts` are per bucket, not cumulative; one more than `bounds_us`, for what lies beyond.
ClientMetric histogram(const std::string& deployment, const std::vector<std::uint64_t>& counts,
                       const std::vector<std::uint64_t>& bounds_us, double sum_s) {
  ClientMetric metric = labelled({{"deployment", deployment}});
  std::uint64_t total = 0;
  for (std::size_t at = 0; at <= bounds_us.size(); ++at) {
    if (at < counts.size()) total += counts[at];
    const bool last = at == bounds_us.size();
    const double bound =
        last ? std::numeric_limits<double>::infinity() : static_cast<double>(bounds_us[at]) / 1'000'000.0;
    metric.histogram.bucket.push_back({total, bound});
  }
  metric.histogram.sample_count = total;
  metric.histogram.sample_sum = sum_s;
  return metric;
}

ClientMetric pause_histogram(const Operations::Gauges& gauges) {
  ClientMetric metric = labelled({{"deployment", gauges.deployment}});
  for (const double bound : pause_bounds_s) {
    const auto within = std::count_if(gauges.pauses_s.begin(), gauges.pauses_s.end(),
                                      [bound](double pause_s) { return pause_s <= bound; });
    metric.histogram.bucket.push_back({static_cast<std::uint64_t>(within), bound});
  }
  metric.histogram.bucket.push_back({gauges.pauses_s.size(), std::numeric_limits<double>::infinity()});
  metric.histogram.sample_count = gauges.pauses_s.size();
  for (const double pause_s : gauges.pauses_s) metric.histogram.sample_sum += pause_s;
  return metric;
}

void collect_traffic(const Backend& backend, std::vector<MetricFamily>& all) {
  const auto gauge = MetricType::Gauge;
  const auto counter = MetricType::Counter;
  Family clients("turnout_client_connections", "Client connections by what they do", gauge);
  Family servers("turnout_server_connections", "Server connections by side and state", gauge);
  Family transactions("turnout_transactions_total", "Transactions and autocommit statements ended", counter);
  Family queries("turnout_queries_total", "Queries answered", counter);
  Family reads("turnout_ramped_reads_total", "Proven reads answered, by side", counter);
  Family from_clients("turnout_client_received_bytes_total", "Bytes from clients", counter);
  Family to_clients("turnout_client_sent_bytes_total", "Bytes to clients", counter);
  Family detours("turnout_route_detours_total", "Ramped reads run again on the writer", counter);
  Family logins("turnout_client_logins_total", "Client logins by outcome", counter);
  Family errors("turnout_client_errors_total", "Errors that Turnout itself made for clients", counter);
  Family protocol("turnout_protocol_errors_total", "Sessions ended for malformed bytes", counter);
  Family unknown("turnout_commit_unknown_total", "COMMITs whose outcome could not be told", counter);
  Family server_logins("turnout_server_logins_total", "Logins of server connections by outcome", counter);
  Family evictions("turnout_server_evictions_total", "Idle server connections closed for another pool's sake", counter);
  Family cancels("turnout_cancel_requests_total", "Cancel requests by what became of them", counter);
  Family pinned("turnout_pinned_clients", "Clients that keep their server connection, by reason", gauge);
  Family pins("turnout_pins_total", "Times a client began to keep its server connection, by reason", counter);
  Family held("turnout_held_sessions", "Sessions whose work waits in a hold", gauge);
  Family held_bytes("turnout_held_bytes", "Bytes that wait in a hold", gauge);
  Family version("turnout_routing_version", "Routing table that every worker has reached", gauge);
  MetricFamily waits{"turnout_client_wait_seconds", "Wait for a server connection", MetricType::Histogram, {}};
  MetricFamily durations{"turnout_query_duration_seconds", "From a query to its answer", MetricType::Histogram, {}};
  const auto bounds_us = backend.histogram_bounds_us();

  for (const auto& [name, counters, levels, names] : backend.traffic()) {
    // Three gauges sampled one after the other may not add up: never let a difference wrap.
    const auto blocked = std::min(counters.clients, counters.clients_waiting + counters.clients_held);
    clients.add({{"deployment", name}, {"state", "waiting"}}, counters.clients_waiting);
    clients.add({{"deployment", name}, {"state", "held"}}, counters.clients_held);
    clients.add({{"deployment", name}, {"state", "ready"}}, counters.clients - blocked);
    for (const auto side : {router::Side::blue, router::Side::green}) {
      const auto at = router::index(side);
      const std::string side_name = router::name(side);
      const auto& level = levels.side[at];
      const auto open = level.write_connections + level.read_connections;
      const auto in_use = std::min(open, level.writes_in_flight + level.reads_in_flight);
      servers.add({{"deployment", name}, {"side", side_name}, {"state", "in_use"}}, in_use);
      servers.add({{"deployment", name}, {"side", side_name}, {"state", "idle"}}, open - in_use);
      transactions.add({{"deployment", name}, {"side", side_name}}, counters.transactions[at]);
      queries.add({{"deployment", name}, {"side", side_name}}, counters.queries[at]);
      reads.add({{"deployment", name}, {"side", side_name}}, counters.reads_proven[at]);
    }
    from_clients.add({{"deployment", name}}, counters.bytes_from_clients);
    to_clients.add({{"deployment", name}}, counters.bytes_to_clients);
    detours.add({{"deployment", name}}, counters.detours);
    logins.add({{"deployment", name}, {"outcome", "accepted"}}, counters.logins);
    logins.add({{"deployment", name}, {"outcome", "refused"}}, counters.login_failures);
    errors.add({{"deployment", name}}, counters.client_errors);
    protocol.add({{"deployment", name}}, counters.protocol_errors);
    unknown.add({{"deployment", name}}, counters.commit_unknown);
    server_logins.add({{"deployment", name}, {"outcome", "accepted"}}, counters.server_logins);
    server_logins.add({{"deployment", name}, {"outcome", "failed"}}, counters.server_login_failures);
    evictions.add({{"deployment", name}}, counters.server_evictions);
    cancels.add({{"deployment", name}, {"outcome", "sent"}}, counters.cancels_sent);
    cancels.add({{"deployment", name}, {"outcome", "answered"}}, counters.cancels_answered);
    cancels.add({{"deployment", name}, {"outcome", "idle"}}, counters.cancels_idle);
    cancels.add({{"deployment", name}, {"outcome", "unknown"}}, counters.cancels_unknown);
    cancels.add({{"deployment", name}, {"outcome", "limited"}}, counters.cancels_limited);
    for (std::size_t i = 0; i < proxy::pin_count; ++i) {
      pinned.add({{"deployment", name}, {"reason", proxy::pin_names[i]}}, counters.pinned_now[i]);
      pins.add({{"deployment", name}, {"reason", proxy::pin_names[i]}}, counters.pinned[i]);
    }
    held.add({{"deployment", name}}, levels.held_sessions);
    held_bytes.add({{"deployment", name}}, levels.held_bytes);
    version.add({{"deployment", name}}, levels.version);
    waits.metric.push_back(histogram(name, counters.wait_us_buckets, bounds_us, counters.wait_s_sum));
    durations.metric.push_back(histogram(name, counters.query_us_buckets, bounds_us, counters.query_s_sum));
  }
  for (auto* family : {&clients, &servers, &transactions, &queries,  &reads,      &from_clients,  &to_clients,
                       &detours, &logins,  &errors,       &protocol, &unknown,    &server_logins, &evictions,
                       &cancels, &pinned,  &pins,         &held,     &held_bytes, &version}) {
    all.push_back(std::move(family->family));
  }
  all.push_back(std::move(waits));
  all.push_back(std::move(durations));
}

void collect_names(const Backend& backend, std::vector<MetricFamily>& all) {
  Family addresses("turnout_name_addresses", "Addresses behind the host name of a side; refused: another server",
                   MetricType::Gauge);
  Family age("turnout_name_answer_age_seconds", "Age of the last good answer for the host name of a side",
             MetricType::Gauge);
  Family questions("turnout_name_questions_total", "Questions asked about the host name of a side",
                   MetricType::Counter);
  Family failures("turnout_name_failures_total", "Questions that had no good answer", MetricType::Counter);
  for (const auto& numbers : backend.traffic()) {
    for (const auto& name : numbers.names) {
      const std::string side = router::name(name.side);
      const auto count = [](const proxy::Hosts& hosts) { return static_cast<std::uint64_t>(hosts.size()); };
      addresses.add({{"deployment", numbers.deployment}, {"side", side}, {"state", "in_use"}}, count(name.addresses));
      addresses.add({{"deployment", numbers.deployment}, {"side", side}, {"state", "refused"}}, count(name.refused));
      age.add({{"deployment", numbers.deployment}, {"side", side}}, name.answer_age_s);
      questions.add({{"deployment", numbers.deployment}, {"side", side}}, name.questions);
      failures.add({{"deployment", numbers.deployment}, {"side", side}}, name.failures);
    }
  }
  for (auto* family : {&addresses, &age, &questions, &failures})
    if (!family->family.metric.empty()) all.push_back(std::move(family->family));
}

void collect_shadow(const Backend& backend, std::vector<MetricFamily>& all) {
  Family ratio("turnout_shadow_ratio", "Share of the writer's reads that is run on the other side as well",
               MetricType::Gauge);
  Family reads("turnout_shadow_reads", "Reads run on both sides since the shadow was turned on, by outcome",
               MetricType::Gauge);
  Family drops("turnout_shadow_dropped", "Reads chosen for the shadow and not run, by reason", MetricType::Gauge);
  Family slower("turnout_shadow_slower_shapes", "Shapes of statements that are slower on the other side",
                MetricType::Gauge);
  for (const auto& gauges : backend.gauges()) {
    const std::string& name = gauges.deployment;
    ratio.add({{"deployment", name}}, gauges.shadow_ratio);
    for (const auto& [outcome, count] : gauges.shadow_reads)
      reads.add({{"deployment", name}, {"outcome", outcome}}, count);
    for (const auto& [reason, count] : gauges.shadow_drops)
      drops.add({{"deployment", name}, {"reason", reason}}, count);
    slower.add({{"deployment", name}}, gauges.shadow_slower);
  }
  for (auto* family : {&ratio, &reads, &drops, &slower})
    if (!family->family.metric.empty()) all.push_back(std::move(family->family));
}

void collect_gauges(const Backend& backend, std::vector<MetricFamily>& all) {
  const auto gauge = MetricType::Gauge;
  Family ramp("turnout_ramp_ratio", "Share of reads that green shall serve", gauge);
  Family actual("turnout_ramp_actual_ratio", "Share of reads that green served of late", gauge);
  Family step_backs("turnout_ramp_step_backs_total", "Ramps that stepped back by themselves", MetricType::Counter);
  Family worst("turnout_ramp_worst_latency_ratio", "Worst p95 of a shape, green to its control group", gauge);
  Family compared("turnout_ramp_compared_reads", "Reads measured in this step, by group", gauge);
  Family failed("turnout_ramp_failed_reads", "Of these, those that failed", gauge);
  Family p95("turnout_ramp_latency_seconds", "p95 of the reads measured in this step, by group", gauge);
  Family writer("turnout_writer", "1 on the side that owns writes; 0 on both = held", gauge);
  Family phase("turnout_cutover_phase", "1 for the phase the deployment is in", gauge);
  Family epoch("turnout_cutover_epoch", "Number of the latest cutover attempt", gauge);
  Family lag_bytes("turnout_replication_lag_bytes", "How far green is behind", gauge);
  Family lag_seconds("turnout_replication_lag_seconds", "How far green is behind", gauge);
  Family movable("turnout_ready_to_move", "1 when the preflight that runs by itself finds nothing in the way", gauge);
  Family retained("turnout_slot_retained_bytes", "WAL that the replication slots keep", gauge);
  MetricFamily pauses{
      "turnout_cutover_pause_seconds", "Longest pause of each finished cutover", MetricType::Histogram, {}};
  for (const auto& gauges : backend.gauges()) {
    const std::string& name = gauges.deployment;
    ramp.add({{"deployment", name}}, gauges.ramp_ratio);
    actual.add({{"deployment", name}}, gauges.ramp_actual_ratio);
    step_backs.add({{"deployment", name}}, gauges.ramp_step_backs);
    worst.add({{"deployment", name}}, gauges.ramp_worst_p95_ratio);
    const std::pair<const char*, router::SideNumbers> groups[] = {{"green", gauges.ramp_green},
                                                                  {"control", gauges.ramp_control}};
    for (const auto& [group, numbers] : groups) {
      compared.add({{"deployment", name}, {"group", group}}, numbers.count);
      failed.add({{"deployment", name}, {"group", group}}, numbers.errors);
      p95.add({{"deployment", name}, {"group", group}}, numbers.p95_ms / 1000);
    }
    for (const std::string side : {"blue", "green"}) {
      writer.add({{"deployment", name}, {"side", side}}, gauges.writer == side ? 1.0 : 0.0);
    }
    for (const char* const each : phases) {
      phase.add({{"deployment", name}, {"phase", each}}, gauges.phase == each ? 1.0 : 0.0);
    }
    epoch.add({{"deployment", name}}, gauges.epoch);
    lag_bytes.add({{"deployment", name}}, gauges.lag_bytes);
    lag_seconds.add({{"deployment", name}}, gauges.lag_seconds);
    if (gauges.ready_to_move >= 0) movable.add({{"deployment", name}}, gauges.ready_to_move == 1 ? 1.0 : 0.0);
    retained.add({{"deployment", name}}, gauges.slot_retained_bytes);
    pauses.metric.push_back(pause_histogram(gauges));
  }
  for (auto* family : {&ramp, &actual, &step_backs, &worst, &compared, &failed, &p95, &writer, &phase, &epoch,
                       &lag_bytes, &lag_seconds, &movable, &retained}) {
    all.push_back(std::move(family->family));
  }
  all.push_back(std::move(pauses));
}

}  // namespace

std::vector<MetricFamily> Metrics::Collect() const {
  std::vector<MetricFamily> all;
  Family build("turnout_build_info", "Always 1; the version is a label", MetricType::Gauge);
  build.add({{"version", std::string(version_text)}}, 1.0);
  all.push_back(std::move(build.family));
  Family ready("turnout_ready", "1 when every deployment has a route and a known writer", MetricType::Gauge);
  ready.add({}, backend_.ready() ? 1.0 : 0.0);
  all.push_back(std::move(ready.family));
  collect_traffic(backend_, all);
  collect_names(backend_, all);
  collect_gauges(backend_, all);
  collect_shadow(backend_, all);
  return all;
}

std::string metrics_text(const Backend& backend) {
  const prometheus::TextSerializer serializer;
  return serializer.Serialize(Metrics(backend).Collect());
}

}  // namespace turnout::control
