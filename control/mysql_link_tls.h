// How a replication connection is encrypted, and what its way back takes to be at least as safe.
//
// The files that a connection names are those of its follower's machine. The way back is another follower's: it takes
// what that server has itself followed by before, else the files that it runs with (ssl_ca, ssl_cert, …). What it has
// not is told, by the preflight, and never left out in silence. Pure.
#pragma once

#include <array>
#include <boost/json/object.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "conf/config.h"
#include "control/mysql_client.h"

namespace turnout::control {

struct LinkTls {
  bool encrypts = false;
  bool verifies = false;  // that the certificate is the writer's, by the host's name
  std::map<std::string, std::string>
      words;  // "SSL_CA" → "/etc/ca.pem": as CHANGE … TO takes them behind MASTER_, SOURCE_

  [[nodiscard]] bool has(const std::string& word) const { return words.contains(word); }
  friend bool operator==(const LinkTls&, const LinkTls&) = default;
};
// Of a row about a replication connection.
[[nodiscard]] LinkTls link_tls_of(const MysqlDialect& dialect, const MysqlRows& rows, std::size_t row);
[[nodiscard]] boost::json::object to_json(const LinkTls& tls);
[[nodiscard]] LinkTls link_tls_of(const boost::json::object& data);

struct BackTls {
  LinkTls tls;
  std::vector<std::string> missing;  // settings of the follower that would have to name a file
};
// `wish`: replication.tls. `now`: the connection that runs. `before`: what the follower of the way back has followed
// by. `setting`: what that server runs with.
[[nodiscard]] BackTls tls_of_way_back(const MysqlDialect& dialect, conf::TlsMode wish, const LinkTls& now,
                                      const std::optional<LinkTls>& before,
                                      const std::function<std::string(const std::string&)>& setting);
// What CHANGE … TO is told, literals: also what there is not, for MariaDB remembers the words of a connection that was
// removed.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> change_words(const LinkTls& tls);
// "without TLS", "by TLS, verified by /etc/ca.pem"
[[nodiscard]] std::string text_of(const LinkTls& tls);

// The settings that name a server's own files.
inline constexpr std::array tls_file_settings = {"ssl_ca",  "ssl_capath", "ssl_cert",
                                                 "ssl_key", "ssl_crl",    "ssl_crlpath"};

}  // namespace turnout::control
