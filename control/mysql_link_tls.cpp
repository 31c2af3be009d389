#include "control/mysql_link_tls.h"

#include <array>
#include <utility>

#include "control/decision_store.h"

namespace turnout::control {

namespace {

using Words = std::map<std::string, std::string>;

struct Word {
  const char *option, *column;
  const char* setting;  // of a server, where it is a file; nullptr = it means the same on every machine
  bool is_of_both = true;
};
constexpr std::array all_words = {
    Word{"SSL_CA", "SSL_CA_File", "ssl_ca"},   Word{"SSL_CAPATH", "SSL_CA_Path", "ssl_capath"},
    Word{"SSL_CERT", "SSL_Cert", "ssl_cert"},  Word{"SSL_KEY", "SSL_Key", "ssl_key"},
    Word{"SSL_CRL", "SSL_Crl", "ssl_crl"},     Word{"SSL_CRLPATH", "SSL_Crlpath", "ssl_crlpath"},
    Word{"SSL_CIPHER", "SSL_Cipher", nullptr}, Word{"TLS_VERSION", "TLS_Version", nullptr, false},  // MySQL's alone
};
// One of each pair is enough.
constexpr std::array either = {std::pair{"SSL_CA", "SSL_CAPATH"}, std::pair{"SSL_CRL", "SSL_CRLPATH"}};

bool is_verifying(conf::TlsMode mode) {
  return mode == conf::TlsMode::verify_ca || mode == conf::TlsMode::verify_full;
}

// What `now` has, with the files of another server.
Words own_words(const LinkTls& now, const std::function<std::string(const std::string&)>& setting) {
  Words words;
  for (const auto& word : all_words) {
    const auto used = now.words.find(word.option);
    if (word.setting == nullptr) {
      if (used != now.words.end()) words.insert(*used);
    } else if (auto file = setting(word.setting); !file.empty()) {
      words.emplace(word.option, std::move(file));
    }
  }
  const auto uses = [&](const auto& pair) { return now.has(pair.first) || now.has(pair.second); };
  // A server's own certificate is not shown where none was shown before, nor a list of revoked ones asked for.
  if (!uses(either[1])) words.erase("SSL_CRL"), words.erase("SSL_CRLPATH");
  if (!now.has("SSL_CERT")) words.erase("SSL_CERT"), words.erase("SSL_KEY");
  return words;
}

}  // namespace

LinkTls link_tls_of(const MysqlDialect& dialect, const MysqlRows& rows, std::size_t row) {
  const std::string who = dialect.product == MysqlProduct::mariadb ? "Master_" : "Source_";
  LinkTls tls;
  tls.encrypts = rows.text(row, who + "SSL_Allowed") == "Yes";
  if (!tls.encrypts) return tls;
  tls.verifies = rows.text(row, who + "SSL_Verify_Server_Cert") == "Yes";
  for (const auto& word : all_words) {
    if (auto value = rows.text(row, who + word.column); !value.empty())
      tls.words.emplace(word.option, std::move(value));
  }
  return tls;
}

boost::json::object to_json(const LinkTls& tls) {
  boost::json::object words;
  for (const auto& [option, value] : tls.words) words[option] = value;
  return {{"encrypts", tls.encrypts}, {"verifies", tls.verifies}, {"words", std::move(words)}};
}

LinkTls link_tls_of(const boost::json::object& data) {
  const auto flag = [&](const char* key) {
    const auto* value = data.if_contains(key);
    return value != nullptr && value->is_bool() && value->get_bool();
  };
  LinkTls tls;
  tls.encrypts = flag("encrypts");
  tls.verifies = flag("verifies");
  if (const auto* words = data.if_contains("words"); words != nullptr && words->is_object()) {
    for (const auto& [option, value] : words->get_object()) {
      if (value.is_string()) tls.words.emplace(option, value.get_string());
    }
  }
  return tls;
}

BackTls tls_of_way_back(const MysqlDialect& dialect, conf::TlsMode wish, const LinkTls& now,
                        const std::optional<LinkTls>& before,
                        const std::function<std::string(const std::string&)>& setting) {
  const bool may_be_plain = wish == conf::TlsMode::prefer || wish == conf::TlsMode::allow;
  BackTls back;
  auto& tls = back.tls;
  tls.encrypts = wish != conf::TlsMode::disable && (now.encrypts || !may_be_plain);
  if (!tls.encrypts) return back;
  const bool is_mariadb = dialect.product == MysqlProduct::mariadb;
  // MariaDB does not know the one without the other.
  tls.verifies = now.verifies || wish == conf::TlsMode::verify_full || (is_mariadb && wish == conf::TlsMode::verify_ca);
  const bool checks_authority = is_verifying(wish) || now.has("SSL_CA") || now.has("SSL_CAPATH");
  const auto lacks = [&](const Words& words, const auto& pair) {
    return !words.contains(pair.first) && !words.contains(pair.second);
  };
  const bool was_as_safe = before && before->encrypts && (before->verifies || !tls.verifies) &&
                           (before->verifies || !checks_authority || !lacks(before->words, either[0]));
  if (was_as_safe) {
    tls.words = before->words;
    return back;
  }
  // MariaDB verifies by the system's authorities where no others are named.
  const bool needs_authority = checks_authority && !(is_mariadb && tls.verifies && lacks(now.words, either[0]));
  tls.words = own_words(now, setting);
  if (!checks_authority) tls.words.erase("SSL_CA"), tls.words.erase("SSL_CAPATH");
  if (needs_authority && lacks(tls.words, either[0])) back.missing.emplace_back("ssl_ca");
  if (!lacks(now.words, either[1]) && lacks(tls.words, either[1])) back.missing.emplace_back("ssl_crl");
  for (const auto& [option, file] : {std::pair{"SSL_CERT", "ssl_cert"}, std::pair{"SSL_KEY", "ssl_key"}}) {
    if (now.has(option) && !tls.has(option)) back.missing.emplace_back(file);
  }
  return back;
}

std::vector<std::pair<std::string, std::string>> change_words(const LinkTls& tls) {
  std::vector<std::pair<std::string, std::string>> told;
  if (!tls.encrypts) return told;
  for (const auto& word : all_words) {
    const bool has = tls.has(word.option);
    if (has || word.is_of_both) told.emplace_back(word.option, mysql_literal(has ? tls.words.at(word.option) : ""));
  }
  return told;
}

std::string text_of(const LinkTls& tls) {
  if (!tls.encrypts) return "without TLS";
  std::string text = "by TLS";
  for (const char* authority : {"SSL_CA", "SSL_CAPATH"}) {
    if (tls.has(authority)) text += std::string(", verified by ") + tls.words.at(authority);
  }
  if (tls.verifies && !tls.has("SSL_CA") && !tls.has("SSL_CAPATH")) text += ", verified by the system's authorities";
  if (tls.has("SSL_CERT")) text += ", with the certificate " + tls.words.at("SSL_CERT");
  return text;
}

}  // namespace turnout::control
