#include "proxy/resolver.h"

#include <ares.h>
#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "proxy/dns_question.h"

namespace turnout::proxy {

namespace {

constexpr std::uint64_t idle_ms = 60'000;
constexpr std::uint64_t identify_again_ms = 1'000;

std::uint64_t now_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

std::string list_of(const Hosts& hosts) {
  std::string text;
  for (const std::string& host : hosts) text += (text.empty() ? "" : ", ") + host;
  return text;
}

using Verdicts = std::map<std::string, Identity>;

// A place and what its name has led to.
struct Watched {
  Place place;
  Hosts in_use;
  Hosts refused;
  Hosts candidate;  // the answer that is being decided on, or waits for that
  bool is_open = false;
  bool was_published = false;
  std::future<Verdicts> identifying;
  std::future<void> looking;  // the thread that does it; it outlives its verdicts by a moment
  std::uint64_t identify_at_ms = 0;
};

struct Name {
  NameRecord record;
  std::unique_ptr<DnsQuestion> question;
  std::uint64_t questions = 0, failures = 0;
};

}  // namespace

struct Resolver::Impl {
  explicit Impl(Hooks its_hooks) : hooks(std::move(its_hooks)), wake(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    ares_library_init(ARES_LIB_INIT_ALL);
    thread = std::thread([this] { run(); });
    ::pthread_setname_np(thread.native_handle(), "resolver");
  }

  ~Impl() {
    stop();
    ::close(wake);
    ares_library_cleanup();
  }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    wake_up();
    if (thread.joinable()) thread.join();
    for (Watched& watched : places)
      if (watched.looking.valid()) watched.looking.wait();
  }

  void wake_up() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = ::write(wake, &one, sizeof one);
  }

  void run();
  void take_orders();
  void ask(std::uint64_t now);
  void hear(std::uint64_t now);
  void identify(std::uint64_t now);
  void decide(Watched& watched, const Verdicts& verdicts, std::uint64_t now);
  void publish(Watched& watched, Hosts use);
  void report();
  [[nodiscard]] std::uint64_t wait_ms(std::uint64_t now) const;

  const Hooks hooks;
  const int wake;

  mutable std::mutex mutex;  // of what follows
  mutable std::condition_variable published;
  bool stopping = false;
  bool has_orders = false;
  bool all_published = true;
  conf::Dns ordered_limits;
  std::vector<Place> ordered_places;
  std::vector<NameInfo> reported;

  // Of the thread.
  conf::Dns limits;
  std::map<std::string, Name> names;
  std::vector<Watched> places;
  std::thread thread;
};

void Resolver::Impl::run() {
  std::vector<pollfd> entries;
  while (true) {
    take_orders();
    {
      const std::lock_guard lock(mutex);
      if (stopping) return;
    }
    const std::uint64_t now = now_ms();
    ask(now);
    hear(now);
    identify(now);
    report();
    entries.assign(1, pollfd{wake, POLLIN, 0});
    for (const auto& [host, name] : names)
      if (name.question) name.question->poll_entries(entries);
    ::poll(entries.data(), entries.size(), static_cast<int>(wait_ms(now_ms())));
    std::uint64_t count = 0;
    [[maybe_unused]] const auto got = ::read(wake, &count, sizeof count);
  }
}

void Resolver::Impl::take_orders() {
  const std::lock_guard lock(mutex);
  if (!has_orders) return;
  has_orders = false;
  limits = ordered_limits;
  std::vector<Watched> kept;
  std::map<std::string, Name> asked;
  for (const Place& place : ordered_places) {
    const auto known = std::find_if(places.begin(), places.end(), [&](const Watched& w) { return w.place == place; });
    kept.emplace_back();
    if (known != places.end()) {
      kept.back() = std::move(*known);
      known->place = {};
    } else {
      kept.back().place = place;
    }
    const std::string& host = place.address.host;
    if (const auto name = names.find(host); name != names.end())
      asked[host] = std::move(name->second), names.erase(name);
    Watched& watched = kept.back();
    if (watched.in_use.empty() && !watched.is_open && !asked[host].record.hosts().empty()) {
      watched.candidate = asked[host].record.hosts();
      watched.is_open = true;
    }
  }
  for (Watched& dropped : places)
    if (dropped.looking.valid()) dropped.looking.wait();
  places = std::move(kept);
  names = std::move(asked);
}

void Resolver::Impl::ask(std::uint64_t now) {
  for (auto& [host, name] : names) {
    if (name.question || now < name.record.ask_at_ms()) continue;
    ++name.questions;
    name.question = std::make_unique<DnsQuestion>(host, limits, now);
  }
}

void Resolver::Impl::hear(std::uint64_t now) {
  for (auto& [host, name] : names) {
    if (!name.question) continue;
    name.question->proceed(now);
    if (!name.question->is_done()) continue;
    const std::unique_ptr<DnsQuestion> question = std::move(name.question);
    if (!question->failure().empty()) {
      if (name.record.failure().empty())
        spdlog::warn("{}: {}; {}", host, question->failure(),
                     name.record.hosts().empty() ? "no address is known yet" : "the last good answer stays in use");
      ++name.failures;
      name.record.failed(question->failure(), now, limits);
      continue;
    }
    const bool was_failing = !name.record.failure().empty();
    const bool has_changed = name.record.answered(question->hosts(), question->ttl_s(), now, limits);
    if (has_changed || was_failing) spdlog::info("{} is at {}", host, list_of(name.record.hosts()));
    for (Watched& watched : places) {
      if (watched.place.address.host != host) continue;
      watched.candidate = name.record.hosts();
      watched.is_open = true;
      watched.identify_at_ms = 0;
    }
  }
}

// Looks at servers behind numbers that are new, and decides when nothing has to be looked at.
void Resolver::Impl::identify(std::uint64_t now) {
  for (Watched& watched : places) {
    if (watched.identifying.valid()) {
      if (watched.identifying.wait_for(std::chrono::seconds(0)) == std::future_status::ready)
        decide(watched, watched.identifying.get(), now);
      continue;
    }
    if (!watched.is_open || now < watched.identify_at_ms) continue;
    const Hosts unknown = hosts_to_identify(watched.in_use, watched.candidate);
    if (unknown.empty()) {
      decide(watched, {}, now);
      continue;
    }
    // The verdicts are there before anybody is woken for them: who came too early would sleep until the next question.
    std::promise<Verdicts> promise;
    watched.identifying = promise.get_future();
    watched.looking =
        std::async(std::launch::async, [this, place = watched.place, unknown, promise = std::move(promise)]() mutable {
          Verdicts verdicts;
          for (const std::string& host : unknown)
            verdicts[host] = hooks.identify(place, {host, place.address.port, {}});
          promise.set_value(std::move(verdicts));
          wake_up();
        });
  }
}

void Resolver::Impl::decide(Watched& watched, const Verdicts& verdicts, std::uint64_t now) {
  Choice choice = choose_hosts(watched.in_use, watched.candidate, verdicts);
  const std::string name = watched.place.address.text();
  if (choice.refused != watched.refused && !choice.refused.empty())
    spdlog::error("{}: {} is another server than {} has been; it is not used", name, list_of(choice.refused),
                  router::name(watched.place.side));
  watched.refused = choice.refused;
  watched.is_open = !choice.is_settled;
  watched.identify_at_ms = now + identify_again_ms;
  if (choice.use != watched.in_use) publish(watched, std::move(choice.use));
}

void Resolver::Impl::publish(Watched& watched, Hosts use) {
  watched.in_use = std::move(use);
  watched.was_published = true;
  std::vector<conf::Address> numeric;
  for (const std::string& host : watched.in_use) numeric.push_back({host, watched.place.address.port, {}});
  spdlog::info("{} connects to {} at {}", router::name(watched.place.side), watched.place.address.text(),
               list_of(watched.in_use));
  hooks.publish(watched.place, numeric);
}

void Resolver::Impl::report() {
  std::vector<NameInfo> infos;
  const std::uint64_t now = now_ms();
  for (const Watched& watched : places) {
    const Name& name = names[watched.place.address.host];
    NameInfo info;
    info.deployment = watched.place.deployment;
    info.side = watched.place.side;
    info.name = watched.place.address.host;
    info.addresses = watched.in_use;
    info.refused = watched.refused;
    info.failure = name.record.failure();
    info.questions = name.questions;
    info.failures = name.failures;
    info.answer_age_s =
        name.record.hosts().empty() ? 0 : static_cast<double>(now - std::min(now, name.record.answered_ms())) / 1000.0;
    infos.push_back(std::move(info));
  }
  const std::lock_guard lock(mutex);
  reported = std::move(infos);
  all_published =
      !has_orders && std::all_of(places.begin(), places.end(), [](const Watched& w) { return w.was_published; });
  if (all_published) published.notify_all();
}

std::uint64_t Resolver::Impl::wait_ms(std::uint64_t now) const {
  std::uint64_t wait = idle_ms;
  for (const auto& [host, name] : names) {
    const std::uint64_t ask_at_ms = name.record.ask_at_ms();
    wait = std::min(wait, name.question ? name.question->wait_ms(now) : ask_at_ms - std::min(ask_at_ms, now));
  }
  for (const Watched& watched : places)
    if (watched.is_open && !watched.identifying.valid())
      wait = std::min(wait, watched.identify_at_ms - std::min(watched.identify_at_ms, now));
  return wait;
}

Resolver::Resolver(Hooks hooks) : impl_(std::make_unique<Impl>(std::move(hooks))) {}

Resolver::~Resolver() = default;

void Resolver::stop() {
  impl_->stop();
}

void Resolver::watch(const conf::Dns& limits, const std::vector<Place>& places) {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->ordered_limits = limits;
    impl_->ordered_places = places;
    impl_->has_orders = true;
    impl_->all_published = places.empty();
  }
  impl_->wake_up();
}

void Resolver::await_first(std::uint32_t ms) const {
  std::unique_lock lock(impl_->mutex);
  impl_->published.wait_for(lock, std::chrono::milliseconds(ms), [this] { return impl_->all_published; });
}

std::vector<NameInfo> Resolver::infos() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->reported;
}

}  // namespace turnout::proxy
