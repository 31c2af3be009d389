// An answer in the words that its client agreed to, when the server's differ: the two forms of the end of rows
// (DEPRECATE_EOF), session state changes for clients that do not want them, and the numbers of packets that follow from
// it.
//
// The exchange (exchange.h) judges each packet first; pass() says what the client gets. Between two calls number() is
// the number of the next packet to the client: as_is packets are sent with it in their fourth byte, and passed()
// follows behind their last byte; what is appended has its numbers already. Between sides that speak alike nothing is
// changed.
//  server without the capability, client with: EOF behind columns vanishes, EOF at the end becomes OK (0xfe)
//  server with, client without: EOF appears behind columns, OK (0xfe) becomes EOF
// A cursor's opening has one EOF in the old form, which is its end too: hence for executions that asked for one, the
// EOF behind the columns is put off until it is known what follows. Pure; one per answer that is under way, begin() for
// each. Source: as exchange.h; golden files with both forms.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/mysql/exchange.h"

namespace turnout::protocol::mysql {

// What a client is told of its transactions' state (TransactionState).
enum class StateTold : std::uint8_t {
  nothing,
  beginning_and_end,  // of those that BEGIN has begun: MySQL's servers with session_track_transaction_info OFF
                      // (measured on 9.7)
  everything,
};

// What a client is told of changes to its session. Turnout makes servers tell more than clients asked for.
struct WantedChanges {
  using Names = std::shared_ptr<const std::vector<std::string>>;
  bool system_variables = true;
  bool schema = true;
  bool state = true;
  bool gtids = true;
  bool transaction_characteristics = true;
  StateTold transaction_state = StateTold::everything;
  Names names = nullptr;  // of system variables; nothing: all
  [[nodiscard]] bool is_all() const {
    return system_variables && !names && schema && state && gtids && transaction_characteristics &&
           transaction_state == StateTold::everything;
  }
};
// Values of the variables session_track_….
struct TrackingValues {
  std::string_view schema, system_variables, state_change, transaction_info;
  StateTold with_info_off = StateTold::nothing;  // by transaction_info OFF: the product's way
};
// `which`: bits of Tracking (state_words.h); the others stay. What servers track besides (MySQL's session_track_gtids)
// is passed on.
void set_wanted(WantedChanges& wanted, std::uint8_t which, const TrackingValues& values);

class Translation {
 public:
  enum class Pass : std::uint8_t {
    as_is,     // send it on, with number() in its header; then passed()
    replaced,  // what the client gets instead, or nothing, was appended
  };

  Translation() = default;
  Translation(Capabilities server, Capabilities client, WantedChanges wanted = {});
  // The same session in other words, or wants to be told something else: what it has been told of its transaction
  // stays.
  void go_on(Capabilities server, Capabilities client, const WantedChanges& wanted);

  [[nodiscard]] bool is_from(Capabilities server) const { return server == server_; }

  // The next answer: its first number towards the client, and the status of the connection before it.
  void begin(std::uint8_t number, std::uint16_t status) {
    number_ = number;
    status_ = status;
    owes_eof_ = false;
    eofs_follow_ = 0;
  }
  // True: rows may go on unread (Exchange::take_rows), for they have the right numbers: `server_number` is their first.
  [[nodiscard]] bool passes_rows(std::uint8_t server_number) const {
    return !owes_eof_ && eofs_follow_ == 0 && number_ == server_number;
  }
  void rows_passed(std::uint8_t next) { number_ = next; }

  // `payload`: what the exchange was given. What comes before the packet, or instead of it, is appended to `out`.
  [[nodiscard]] Pass pass(const Exchange::Received& received, Bytes payload, std::string& out);
  [[nodiscard]] std::uint8_t number() const { return number_; }
  // The packet went on as it is, all of it. What belongs behind it is appended.
  void passed(std::string& out);

 private:
  [[nodiscard]] bool adds_eof() const { return server_deprecates_ && !client_deprecates_; }
  [[nodiscard]] bool drops_eof() const { return !server_deprecates_ && client_deprecates_; }
  void put_eof_of_columns(std::string& out);
  void put(std::string& out, std::string_view payload) { number_ = put_message(out, number_, payload); }
  void put_end_of(const Exchange::Received& received, std::string& out);
  bool put_filtered(Bytes payload, std::string& out);

  Capabilities server_ = 0;
  Capabilities client_ = 0;
  WantedChanges wanted_;
  bool server_deprecates_ = true, client_deprecates_ = true;
  bool filters_ = false;
  std::string told_state_ = "________";  // of its transaction, where only beginnings and ends are told
  bool owes_eof_ = false;                // behind columns, put off
  bool calls_ = false;                   // what they are of is followed by another result
  std::uint8_t eofs_follow_ = 0;         // behind the packet that is being passed
  std::uint8_t number_ = 1;
  std::uint16_t status_ = 0;
};

// Only what is wanted of session state changes.
struct FilteredChanges {
  std::string kept;
  // One transaction has ended and the next begun (BEGIN, COMMIT AND CHAIN): where only that is told and both look
  // alike, the server says that something has changed, and does not say what.
  bool is_told_without_words = false;
};
// `told_state`: what StateTold::beginning_and_end has told last; "________" in the beginning.
[[nodiscard]] FilteredChanges filter_changes(std::string_view changes, const WantedChanges& wanted,
                                             std::string& told_state);

}  // namespace turnout::protocol::mysql
