#include "conf/hints.h"

#include <algorithm>
#include <array>

namespace turnout::conf {
namespace {

struct Hint {
  std::string_view key;
  std::string_view text;
};

constexpr std::array hints = {
    Hint{"<<", "merge keys are not supported; write the values out"},
    Hint{"admin_users", "the console is for admin.user"},
    Hint{"auth_file", "PgBouncer's auth_file is `users` here"},
    Hint{"auth_query",
         "PgBouncer's auth_query is `users: { query: …, user: … }` here; with protocol mysql name a users file, or "
         "write passthrough"},
    Hint{"auth_type", "PgBouncer's auth_type is `auth` here"},
    Hint{"certificate_file", "the certificate is named by `cert_file`"},
    Hint{"client_idle_timeout", "it belongs into the deployment's `limits`"},
    Hint{"client_login_timeout", "PgBouncer's client_login_timeout is limits.login_timeout here"},
    Hint{"client_tls_sslmode", "write client_tls: { sslmode: … }"},
    Hint{"default_pool_size", "PgBouncer's default_pool_size is pool.size here"},
    Hint{"idle_in_transaction_timeout", "it belongs into the deployment's `limits`"},
    Hint{"idle_transaction_timeout", "PgBouncer's idle_transaction_timeout is limits.idle_in_transaction_timeout here"},
    Hint{"listen_addr", "PgBouncer's listen_addr and listen_port are `listen: [\"host:port\"]` here"},
    Hint{"listen_port", "PgBouncer's listen_addr and listen_port are `listen: [\"host:port\"]` here"},
    Hint{"login_timeout", "it belongs into the deployment's `limits`"},
    Hint{"max_client_conn", "PgBouncer's max_client_conn is limits.clients here"},
    Hint{"max_prepared_statements", "PgBouncer's max_prepared_statements is pool.prepared_statements here"},
    Hint{"password", "secrets stay out of this file: write it into a file of its own and name that in `password_file`"},
    Hint{"pool_mode", "PgBouncer's pool_mode is pool.mode here"},
    Hint{"pool_size", "write pool: { size: … }"},
    Hint{"query_wait_timeout", "PgBouncer's query_wait_timeout is pool.wait_timeout here"},
    Hint{"server_connect_timeout", "PgBouncer's server_connect_timeout is pool.connect_timeout here"},
    Hint{"server_idle_timeout", "PgBouncer's server_idle_timeout is pool.idle_timeout here"},
    Hint{"server_lifetime", "PgBouncer's server_lifetime is pool.lifetime here"},
    Hint{"server_tls_sslmode", "write server_tls: { sslmode: … }"},
    Hint{"tls", "write client_tls (towards clients) or server_tls (towards the databases)"},
    Hint{"token", "secrets stay out of this file: write it into a file of its own and name that in `token_file`"},
};

}  // namespace

std::string_view hint_for(std::string_view key) {
  const auto found = std::ranges::find(hints, key, &Hint::key);
  return found == hints.end() ? std::string_view{} : found->text;
}

}  // namespace turnout::conf
