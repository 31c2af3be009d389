// How clients see the types of a server connection whose side has other numbers (OIDs) for them than clients know.
//
// Belongs to the connection, and is there only while its side has a TypeMap. Remembers what the server said of the
// statements on this connection, which portals they run in, and for each reply that is owed what its rows hold; so a
// row is looked at only when its columns can hold a number. Asks for a description itself where the client does not.
//
// Replies are matched by ticket: sent() of the Exchange takes the ticket of a request, received() gives it back.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "protocol/pg/type_map.h"
#include "protocol/pg/type_values.h"

namespace turnout::proxy {

// What is known of a statement as it stands on one server connection.
struct Described {
  protocol::pg::CatalogUse use = protocol::pg::CatalogUse::none;
  bool knows_parameters = false, knows_columns = false;
  bool asked_parameters = false, asked_columns = false;  // the answer is on its way
  std::vector<protocol::pg::Oid> parameters;             // native; as declared until they are known, 0: not declared
  std::vector<protocol::pg::ColumnNote> columns;
  std::optional<bool> matters;  // may numbers stand in them? Nothing: not asked yet
};
using DescribedPtr = std::shared_ptr<Described>;

// Of the message that begins there and ends with `out`.
void put_length(std::string& out, std::size_t message_at);

class TypeLens {
 public:
  using Ticket = std::uint32_t;
  explicit TypeLens(protocol::pg::TypeMapPtr map) : map_(std::move(map)) {}

  [[nodiscard]] const protocol::pg::TypeMap& map() const { return *map_; }
  // Another map counts from the next moment at which nothing is owed.
  void use(const protocol::pg::TypeMapPtr& map);

  // ---- statements; `content` is the Parse's body after the name
  [[nodiscard]] DescribedPtr statement(std::uint32_t number, std::string_view content);
  [[nodiscard]] const DescribedPtr& unnamed() const { return unnamed_; }
  void unnamed_parsed(std::string_view content);
  void forget(std::uint32_t number) { statements_.erase(number); }
  void forget_all() { statements_.clear(); }

  // ---- client → server
  // Appends a Parse's content: text, zero, declared types.
  void put_content(std::string& out, std::string_view content) const;
  // The text for the server; nothing: as it is. `use`: catalog_use() of the text.
  [[nodiscard]] std::optional<std::string> text_for_server(std::string_view sql, protocol::pg::CatalogUse use) const;
  [[nodiscard]] Ticket query(protocol::pg::CatalogUse use);
  [[nodiscard]] Ticket describe_statement(const DescribedPtr& described);
  [[nodiscard]] Ticket describe_portal(std::string_view portal);

  // `rest`: a Bind's body after the names, as much of it as is here.
  enum class Readiness { ready, incomplete, needs_description };
  [[nodiscard]] static Readiness bind_readiness(const Described& described, protocol::pg::Bytes rest, bool is_whole,
                                                std::size_t total);
  // Appends it; `out` holds the message up to the names, from `message_at`, and its length is put right. What of the
  // message is still to come goes through bind_body().
  void bind(std::string& out, std::size_t message_at, std::string_view portal, const DescribedPtr& described,
            protocol::pg::Bytes rest, bool is_whole);
  [[nodiscard]] bool is_binding() const { return binding_.has_value(); }
  void bind_body(std::string& out, protocol::pg::Bytes bytes, bool is_last);

  struct Run {
    Ticket ticket = 0;               // 0: nothing in its rows has to be looked at
    bool needs_description = false;  // of the portal, before it runs
  };
  [[nodiscard]] Run execute(std::string_view portal);

  // ---- server → client
  // Is the body of this message to be changed, or noted? Then it goes through body(), in as many pieces as it comes.
  // `here`: as much of it as has come.
  [[nodiscard]] bool begin_message(char type, Ticket ticket, protocol::pg::Bytes here, bool is_whole);
  // Text in the row changes its length: the body must be given at once, or that text stays as it is.
  [[nodiscard]] bool wants_whole() const { return wants_whole_; }
  [[nodiscard]] bool is_in_message() const { return !std::holds_alternative<std::monostate>(walk_); }
  void body(std::string& out, protocol::pg::Bytes bytes, bool is_last);
  [[nodiscard]] std::string& scratch();  // for messages that are only noted
  void failed();                         // an error: what was asked for may never be answered
  void ready(bool in_transaction);       // nothing is owed

 private:
  struct Portal {
    DescribedPtr described;
    std::optional<std::vector<bool>> formats;  // nothing: not known
    bool asked_formats = false;
  };
  using PortalPtr = std::shared_ptr<Portal>;
  struct Reply {
    Ticket ticket = 0;
    DescribedPtr described;
    PortalPtr portal;                                               // of an execute, or the description of a portal
    protocol::pg::CatalogUse use = protocol::pg::CatalogUse::none;  // of a query, which has nothing described
    bool is_planned = false;
    protocol::pg::ValuePlans plans;
  };

  // The latest description of a query's rows in which nothing has to be looked at: from the server, and for the client.
  struct PlainColumns {
    std::string seen, told;
  };
  struct KnownColumns {};
  static constexpr std::size_t plain_columns_max = 4 * 1024;  // bytes

  Ticket owe(DescribedPtr described, PortalPtr portal);
  [[nodiscard]] Reply* find(Ticket ticket);
  PortalPtr& portal(std::string_view name);
  [[nodiscard]] protocol::pg::ValuePlans plan_columns(const std::vector<protocol::pg::ColumnNote>& columns,
                                                      protocol::pg::CatalogUse use,
                                                      const std::vector<bool>* formats) const;
  [[nodiscard]] bool plan_binding(const Described& described, const std::vector<bool>& formats, std::size_t count);
  [[nodiscard]] bool may_matter(Described& described) const;
  [[nodiscard]] static bool is_of_query(const Reply* reply);
  [[nodiscard]] static bool is_of_plain_query(const Reply* reply);
  void end_message();
  static void keep_rest(std::string& out, std::size_t done, std::string& rest);

  protocol::pg::TypeMapPtr map_, next_map_;
  std::unordered_map<std::uint32_t, DescribedPtr> statements_;
  DescribedPtr unnamed_;
  std::map<std::string, PortalPtr, std::less<>> portals_;  // a null one: nothing to do for it
  std::deque<Reply> replies_;                              // one stays in its place while others come: reply_
  Ticket last_ticket_ = 0;
  Reply* reply_ = nullptr;  // of the message that is being read
  std::variant<std::monostate, KnownColumns, protocol::pg::ValuesWalk, protocol::pg::ColumnsWalk,
               protocol::pg::TypesWalk>
      walk_;
  bool wants_whole_ = false;
  bool has_begun_ = false;  // a piece of that message has been there
  PlainColumns plain_columns_;
  std::string body_rest_;  // a few bytes that the walk wants to see together with what follows them
  std::optional<protocol::pg::ValuesWalk> binding_;
  protocol::pg::ValuePlans binding_plans_;
  std::string binding_rest_;
  std::string scratch_;
};

}  // namespace turnout::proxy
