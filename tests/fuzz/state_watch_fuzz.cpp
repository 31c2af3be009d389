// The quick look never says "nothing" of a text in which the full look finds something; tokens go forward and stay
// inside.
#include "fuzz.h"
#include "protocol/pg/sql_lexer.h"
#include "protocol/pg/state_watch.h"

namespace turnout::fuzz {
namespace {

using namespace protocol::pg;

void run(std::string_view sql) {
  const Watch watch = watch_state(sql);
  must(may_touch_state(sql) || watch.effects.empty(), "may_touch_state == false means no effects");
  must(watch.statements <= sql.size(), "no more statements than bytes");

  SqlLexer lexer(sql);
  const char* reached = sql.data();
  for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
    must(!token.text.empty(), "tokens are not empty");
    must(token.text.data() >= reached, "tokens go forward");
    reached = token.text.data() + token.text.size();
    must(reached <= sql.data() + sql.size(), "tokens stay inside");
    if (token.kind == TokenKind::unterminated) {
      must(lexer.next().kind == TokenKind::end, "nothing comes after an unterminated token");
      must(!watch.effects.empty(), "an unterminated token is an effect");
      break;
    }
  }
}

}  // namespace
}  // namespace turnout::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  turnout::fuzz::run(turnout::protocol::pg::text({data, size}));
  return 0;
}
