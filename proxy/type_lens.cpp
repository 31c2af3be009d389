#include "proxy/type_lens.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "protocol/pg/wire.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

constexpr std::size_t portals_max = 10'000;       // more are described by the server when they run
constexpr std::size_t whole_bind_bytes = 65'536;  // up to here the whole Bind is waited for, to see its result formats
constexpr std::size_t formats_bytes_max = 2 + 2 * 65'535 + 2;

pg::MutableBytes tail(std::string& out, std::size_t at) {
  return pg::MutableBytes(reinterpret_cast<std::uint8_t*>(out.data()), out.size()).subspan(at);
}

// The types that a Parse declares: behind its text.
std::vector<pg::Oid> declared_types(std::string_view content) {
  const std::size_t zero = content.find('\0');
  if (zero == std::string_view::npos) return {};
  return pg::read_types(pg::bytes_of(content.substr(zero + 1)));
}

DescribedPtr describe_content(std::string_view content) {
  auto described = std::make_shared<Described>();
  described->use = pg::catalog_use(content.substr(0, content.find('\0')));
  described->parameters = declared_types(content);
  return described;
}

// Where the values of a Bind lie in what follows its names.
struct BindParts {
  std::vector<bool> formats;
  std::size_t values_at = 0;
};

std::optional<BindParts> split_bind(pg::Bytes rest) {
  BindParts parts;
  auto formats = pg::read_formats(rest, parts.values_at);
  if (!formats || rest.size() < parts.values_at + 2) return std::nullopt;
  parts.formats = std::move(*formats);
  return parts;
}

// The formats that the results shall have: behind the values. nullopt: malformed.
std::optional<std::vector<bool>> result_formats(pg::Bytes values) {
  pg::Reader reader(values);
  const auto count = reader.u16();
  for (std::size_t i = 0; count && i < *count; ++i) {
    const auto length = reader.u32();
    if (!length || (*length != UINT32_MAX && !reader.take(*length))) return std::nullopt;
  }
  std::size_t used = 0;
  return pg::read_formats(reader.rest(), used);
}

}  // namespace

void put_length(std::string& out, std::size_t message_at) {
  const auto length = static_cast<std::uint32_t>(out.size() - message_at - 1);
  for (std::size_t i = 0; i < 4; ++i) out[message_at + 1 + i] = static_cast<char>(length >> (24 - 8 * i));
}

void TypeLens::use(const pg::TypeMapPtr& map) {
  if (map == map_) return;
  next_map_ = map;
  if (replies_.empty() && !is_in_message() && !is_binding()) ready(false);
}

// ---- statements ----------------------------------------------------------------------------------------------------

DescribedPtr TypeLens::statement(std::uint32_t number, std::string_view content) {
  DescribedPtr& described = statements_[number];
  if (!described) described = describe_content(content);
  return described;
}

void TypeLens::unnamed_parsed(std::string_view content) {
  unnamed_ = describe_content(content);
}

std::optional<std::string> TypeLens::text_for_server(std::string_view sql, pg::CatalogUse use) const {
  if (use != pg::CatalogUse::catalogs) return std::nullopt;
  return pg::translate_literals(sql, map_->to_server);
}

void TypeLens::put_content(std::string& out, std::string_view content) const {
  const std::size_t zero = std::min(content.size(), content.find('\0'));
  const std::string_view sql = content.substr(0, zero);
  const auto text = text_for_server(sql, pg::catalog_use(sql));
  out.append(text ? *text : sql);
  const std::size_t types_at = out.size() + 1;
  out.append(content.substr(zero));
  if (types_at < out.size()) pg::translate_types(map_->to_server, tail(out, types_at));
}

// ---- client → server -----------------------------------------------------------------------------------------------

TypeLens::Ticket TypeLens::owe(DescribedPtr described, PortalPtr portal) {
  if (++last_ticket_ == 0) ++last_ticket_;
  replies_.push_back({last_ticket_, std::move(described), std::move(portal), pg::CatalogUse::none, false, {}});
  return last_ticket_;
}

TypeLens::Ticket TypeLens::query(pg::CatalogUse use) {
  unnamed_.reset();
  const Ticket ticket = owe(nullptr, nullptr);
  replies_.back().use = use;
  return ticket;
}

TypeLens::Ticket TypeLens::describe_statement(const DescribedPtr& described) {
  if (described) described->asked_parameters = described->asked_columns = true;
  return owe(described, nullptr);
}

TypeLens::PortalPtr& TypeLens::portal(std::string_view name) {
  if (portals_.size() >= portals_max) portals_.clear();
  return portals_.emplace(name, nullptr).first->second;
}

TypeLens::Ticket TypeLens::describe_portal(std::string_view name) {
  const auto known = portals_.find(name);
  if (known != portals_.end() && !known->second) return owe(nullptr, nullptr);  // nothing of it has to be noted
  PortalPtr described = known != portals_.end() ? known->second : nullptr;
  if (!described) {
    described = std::make_shared<Portal>();
    described->described = std::make_shared<Described>();
    portal(name) = described;
  }
  described->asked_formats = described->described->asked_columns = true;
  return owe(described->described, described);
}

TypeLens::Readiness TypeLens::bind_readiness(const Described& described, pg::Bytes rest, bool is_whole,
                                             std::size_t total) {
  const auto parts = split_bind(rest);
  if (!parts) return is_whole || rest.size() > formats_bytes_max ? Readiness::ready : Readiness::incomplete;
  if (!is_whole && total <= whole_bind_bytes) return Readiness::incomplete;
  if (described.knows_parameters) return Readiness::ready;
  const std::size_t count = pg::load_u16(rest.data() + parts->values_at);
  for (std::size_t i = 0; i < count; ++i) {
    const bool is_declared = i < described.parameters.size() && described.parameters[i] != 0;
    const bool matters = pg::is_binary(parts->formats, i) || described.use == pg::CatalogUse::catalogs;
    if (matters && !is_declared) return Readiness::needs_description;
  }
  return Readiness::ready;
}

void TypeLens::bind(std::string& out, std::size_t message_at, std::string_view name, const DescribedPtr& described,
                    pg::Bytes rest, bool is_whole) {
  PortalPtr& made = portal(name);
  made.reset();
  if (!described->knows_columns || may_matter(*described)) {
    made = std::make_shared<Portal>();
    made->described = described;
  }
  const auto parts = split_bind(rest);
  if (!parts) {
    out.append(pg::text(rest));
    return;
  }
  const pg::Bytes values = rest.subspan(parts->values_at);
  if (made && is_whole) made->formats = result_formats(values);
  out.append(pg::text(rest.first(parts->values_at)));
  if (!plan_binding(*described, parts->formats, pg::load_u16(values.data()))) {
    out.append(pg::text(values));
    return;
  }
  binding_.emplace(map_->to_server, binding_plans_);
  if (!is_whole || !pg::has_text_numbers(binding_plans_)) {
    bind_body(out, values, is_whole);
    return;
  }
  std::string changed;
  pg::copy_text_numbers(changed, values, map_->to_server, binding_plans_);
  bind_body(out, pg::bytes_of(changed), true);
  put_length(out, message_at);
}

bool TypeLens::plan_binding(const Described& described, const std::vector<bool>& formats, std::size_t count) {
  binding_plans_.clear();
  bool matters = false;
  for (std::size_t i = 0; i < count; ++i) {
    const pg::Oid type = i < described.parameters.size() ? described.parameters[i] : 0;
    binding_plans_.push_back(pg::plan_parameter(*map_, type, pg::is_binary(formats, i), described.use));
    matters = matters || binding_plans_.back().handling != pg::Handling::leave;
  }
  return matters;
}

// What the walk is not done with waits in `rest`.
void TypeLens::keep_rest(std::string& out, std::size_t done, std::string& rest) {
  rest.assign(out, done);
  out.resize(done);
}

void TypeLens::bind_body(std::string& out, pg::Bytes bytes, bool is_last) {
  const std::size_t at = out.size();
  out.append(std::exchange(binding_rest_, {})).append(pg::text(bytes));
  const std::size_t done = at + binding_->feed(tail(out, at));
  if (is_last)
    binding_.reset();
  else
    keep_rest(out, done, binding_rest_);
}

TypeLens::Run TypeLens::execute(std::string_view name) {
  const auto known = portals_.find(name);
  if (known == portals_.end()) return {0, true};
  const PortalPtr& portal = known->second;
  if (!portal) return {};
  Described& described = *portal->described;
  if (!portal->formats) {
    if (described.knows_columns && !may_matter(described)) return {};
    return portal->asked_formats ? Run{owe(portal->described, portal), false} : Run{0, true};
  }
  const bool all_text = std::find(portal->formats->begin(), portal->formats->end(), true) == portal->formats->end();
  if (all_text && described.use == pg::CatalogUse::none) return {};
  if (!described.knows_columns)
    return described.asked_columns ? Run{owe(portal->described, portal), false} : Run{0, true};
  pg::ValuePlans plans = plan_columns(described.columns, described.use, &*portal->formats);
  if (plans.empty()) return {};
  const Ticket ticket = owe(portal->described, portal);
  replies_.back().plans = std::move(plans);
  replies_.back().is_planned = true;
  return {ticket, false};
}

// ---- server → client -----------------------------------------------------------------------------------------------

TypeLens::Reply* TypeLens::find(Ticket ticket) {
  if (ticket == 0) return nullptr;
  // Older ones have been answered: replies come in order.
  while (!replies_.empty() && static_cast<std::int32_t>(replies_.front().ticket - ticket) < 0) replies_.pop_front();
  return !replies_.empty() && replies_.front().ticket == ticket ? &replies_.front() : nullptr;
}

// Empty: nothing to do in any of the columns.
pg::ValuePlans TypeLens::plan_columns(const std::vector<pg::ColumnNote>& columns, pg::CatalogUse use,
                                      const std::vector<bool>* formats) const {
  pg::ValuePlans plans;
  bool matters = false;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const pg::ColumnNote& column = columns[i];
    const bool is_binary = formats != nullptr ? pg::is_binary(*formats, i) : column.is_binary;
    plans.push_back(pg::plan_column(*map_, column, is_binary, use));
    matters = matters || plans.back().handling != pg::Handling::leave;
  }
  if (!matters) plans.clear();
  return plans;
}

bool TypeLens::may_matter(Described& described) const {
  if (described.matters) return *described.matters;
  const auto matters = [&](const pg::ColumnNote& column) {
    return pg::plan_column(*map_, column, true, described.use).handling != pg::Handling::leave ||
           pg::plan_column(*map_, column, false, described.use).handling != pg::Handling::leave;
  };
  described.matters = std::any_of(described.columns.begin(), described.columns.end(), matters);
  return *described.matters;
}

// Of a simple query: nothing else is owed without anything described.
bool TypeLens::is_of_query(const Reply* reply) {
  return reply != nullptr && !reply->described && !reply->portal;
}

bool TypeLens::is_of_plain_query(const Reply* reply) {
  return is_of_query(reply) && reply->use == pg::CatalogUse::none;
}

bool TypeLens::begin_message(char type, Ticket ticket, pg::Bytes here, bool is_whole) {
  wants_whole_ = has_begun_ = false;
  reply_ = find(ticket);
  if (type == 'n' && reply_ != nullptr && reply_->described) {
    reply_->described->columns.clear();
    reply_->described->matters.reset();
    reply_->described->knows_columns = true;
  }
  if (type == 'T') {
    if (is_whole && is_of_plain_query(reply_) && pg::text(here) == plain_columns_.seen) {
      reply_->plans.clear();
      reply_->is_planned = true;
      walk_.emplace<KnownColumns>();
      return true;
    }
    walk_.emplace<pg::ColumnsWalk>(map_->to_native);
    return true;
  }
  if (type == 't') {
    walk_.emplace<pg::TypesWalk>(map_->to_native);
    return true;
  }
  if (type != 'D' || reply_ == nullptr) return false;
  if (!reply_->is_planned) {
    const bool is_known = reply_->described && reply_->described->knows_columns && reply_->portal;
    const auto& formats = is_known ? reply_->portal->formats : std::nullopt;
    if (is_known)
      reply_->plans = plan_columns(reply_->described->columns, reply_->described->use, formats ? &*formats : nullptr);
    reply_->is_planned = true;
  }
  if (reply_->plans.empty()) return false;
  wants_whole_ = pg::has_text_numbers(reply_->plans);
  walk_.emplace<pg::ValuesWalk>(map_->to_native, reply_->plans);
  return true;
}

void TypeLens::body(std::string& out, pg::Bytes bytes, bool is_last) {
  const std::size_t at = out.size();
  if (std::holds_alternative<KnownColumns>(walk_))  // it is whole
    out.append(plain_columns_.told);
  else if (wants_whole_ && is_last)
    pg::copy_text_numbers(out, bytes, map_->to_native, reply_->plans);
  else
    out.append(std::exchange(body_rest_, {})).append(pg::text(bytes));
  wants_whole_ = false;
  const bool is_whole = is_last && !std::exchange(has_begun_, true);
  const auto fed = [&](auto& walk) -> std::size_t {
    if constexpr (requires { walk.feed(tail(out, at)); })
      return walk.feed(tail(out, at));
    else
      return out.size() - at;
  };
  const std::size_t done = at + std::visit(fed, walk_);
  if (!is_last) {
    keep_rest(out, done, body_rest_);
    return;
  }
  const bool may_be_plain = is_whole && bytes.size() <= plain_columns_max && is_of_plain_query(reply_) &&
                            std::holds_alternative<pg::ColumnsWalk>(walk_);
  const Reply* const reply = may_be_plain ? reply_ : nullptr;
  end_message();
  if (reply != nullptr && reply->is_planned && reply->plans.empty())
    plain_columns_ = {std::string(pg::text(bytes)), out.substr(at)};
}

void TypeLens::end_message() {
  if (is_of_query(reply_)) {
    auto* const columns = std::get_if<pg::ColumnsWalk>(&walk_);
    if (columns != nullptr && columns->is_done()) {
      // The rows follow under the same ticket.
      reply_->plans = plan_columns(columns->columns(), reply_->use, nullptr);
      reply_->is_planned = true;
    }
  } else if (reply_ != nullptr && reply_->described) {
    Described& described = *reply_->described;
    if (auto* const columns = std::get_if<pg::ColumnsWalk>(&walk_); columns != nullptr && columns->is_done()) {
      if (reply_->portal) {
        std::vector<bool> formats;
        for (const pg::ColumnNote& column : columns->columns()) formats.push_back(column.is_binary);
        reply_->portal->formats = std::move(formats);
      }
      described.columns = std::move(columns->columns());
      described.matters.reset();
      described.knows_columns = true;
      reply_->plans = plan_columns(described.columns, described.use, nullptr);
      reply_->is_planned = true;
    } else if (auto* const types = std::get_if<pg::TypesWalk>(&walk_); types != nullptr && types->is_done()) {
      described.parameters = std::move(types->types());
      described.knows_parameters = true;
    }
  }
  walk_.emplace<std::monostate>();
  reply_ = nullptr;
}

std::string& TypeLens::scratch() {
  scratch_.clear();
  return scratch_;
}

void TypeLens::failed() {
  for (const Reply& reply : replies_) {
    if (reply.described) reply.described->asked_parameters = reply.described->asked_columns = false;
    if (reply.portal) reply.portal->asked_formats = false;
  }
}

void TypeLens::ready(bool in_transaction) {
  replies_.clear();
  if (in_transaction) return;
  portals_.clear();
  if (next_map_ == nullptr) return;
  map_ = std::move(next_map_);
  next_map_ = nullptr;
  plain_columns_ = {};
  statements_.clear();
  unnamed_.reset();
}

}  // namespace turnout::proxy
