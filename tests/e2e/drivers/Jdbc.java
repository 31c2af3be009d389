// pgjdbc: the extended protocol, statements prepared on the server from the prepareThreshold on, portals with a fetch size,
// batches, COPY, large objects. The rules of the programs are in common.py.
import java.io.File;
import java.io.InputStream;
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;
import org.postgresql.largeobject.LargeObject;
import org.postgresql.largeobject.LargeObjectManager;

public class Jdbc {
  static final String OWNER = "pgjdbc";
  static final int SESSIONS = 16;
  static final String[] VALUES = {"true", "(-32768)::int2", "2147483647::int4", "9223372036854775807::int8", "1.5::float4", "'-Infinity'::float8",
    "12345678901234567890.0123456789::numeric", "'Größe ≠ 漢字 🙂'::text", "''::text", "'\\x00ff10275c'::bytea",
    "'{\"b\": [1, 2.5, null], \"a\": \"ü\"}'::jsonb", "'2024-02-29 12:34:56.789012'::timestamp", "'2024-02-29 12:34:56.789012+02'::timestamptz",
    "'2024-02-29'::date", "'23:59:59.5'::time", "'00112233-4455-6677-8899-aabbccddeeff'::uuid", "ARRAY[1, 2, NULL]::int4[]",
    "ARRAY['a', 'b,\"c', NULL]::text[]", "ARRAY[[1.5, 2], [3, 4]]::numeric[]", "NULL::int4", "'192.168.1.7'::inet", "'3 days 04:05:06.7'::interval",
    "'[1,10)'::int4range", "'(1,2)'::point", "B'10110'::bit(5)", "repeat('long', 5000)"};
  static final String[] USER_VALUES = {"'green'::drivers.colour", "ARRAY['red', 'blue', NULL]::drivers.colour[]", "ROW(1, 2, 'a b')::drivers.spot",
    "ARRAY[ROW(1, 2, 'a'), ROW(3, NULL, NULL)]::drivers.spot[]", "55::drivers.percent", "'[1.5,2.5)'::drivers.span", "'sad'::mood"};

  interface Body { Object run(Connection connection) throws Exception; }
  interface Deed { void run() throws Exception; }

  static final Map<String, Body> scenarios = new LinkedHashMap<>();
  static final Set<String> movable = new HashSet<>();

  static String env(String name, String otherwise) {
    String value = System.getenv(name);
    return value == null ? otherwise : value;
  }

  static Connection open(String more) throws SQLException {
    return DriverManager.getConnection("jdbc:postgresql://" + env("PGHOST", "127.0.0.1") + ":" + env("PGPORT", "5432") + "/" + env("PGDATABASE", "app")
      + "?user=" + env("PGUSER", "app") + "&sslmode=disable&gssEncMode=disable&options=-c%20work_mem=5MB" + more);
  }

  // ---- JSON, just enough

  static String json(Object value) {
    if (value == null) return "null";
    if (value instanceof Number || value instanceof Boolean) return value.toString();
    if (value instanceof Object[]) return json(Arrays.asList((Object[]) value));
    if (value instanceof byte[]) {
      StringBuilder hex = new StringBuilder();
      for (byte b : (byte[]) value) hex.append(String.format("%02x", b));
      return json(hex.toString());
    }
    if (value instanceof Collection) {
      StringJoiner joiner = new StringJoiner(", ", "[", "]");
      for (Object item : (Collection<?>) value) joiner.add(json(item));
      return joiner.toString();
    }
    StringBuilder out = new StringBuilder("\"");
    for (char c : value.toString().toCharArray()) {
      if (c == '"' || c == '\\') out.append('\\').append(c);
      else if (c < 32) out.append(String.format("\\u%04x", (int) c));
      else out.append(c);
    }
    return out.append('"').toString();
  }

  static Object shown(Object value) throws SQLException {
    if (value instanceof java.sql.Array) return Arrays.deepToString((Object[]) ((java.sql.Array) value).getArray());  // its text differs with the format
    if (value instanceof Number && !(value instanceof Integer) && !(value instanceof Long)) return value.toString();
    if (value == null || value instanceof Number || value instanceof Boolean || value instanceof byte[]) return value;
    return value.toString();
  }

  // ---- words

  static List<Object> rows(ResultSet set) throws SQLException {
    List<Object> found = new ArrayList<>();
    int columns = set.getMetaData().getColumnCount();
    while (set.next()) {
      List<Object> row = new ArrayList<>();
      for (int column = 1; column <= columns; column++) row.add(shown(set.getObject(column)));
      found.add(row);
    }
    set.close();
    return found;
  }

  static List<Object> rows(Connection connection, String text, Object... values) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(text)) {
      for (int at = 0; at < values.length; at++) statement.setObject(at + 1, values[at]);
      return statement.execute() ? rows(statement.getResultSet()) : List.of(statement.getUpdateCount());
    }
  }

  static void plain(Connection connection, String text) throws SQLException {
    try (Statement statement = connection.createStatement()) { statement.execute(text); }
  }

  static List<Object> refusal(Deed deed) throws Exception {
    try {
      deed.run();
    } catch (SQLException error) {
      return List.of(String.valueOf(error.getSQLState()), error.getMessage());
    }
    return List.of("no error");
  }

  static void empty(Connection connection) throws SQLException { rows(connection, "DELETE FROM drivers.items WHERE owner = ?", OWNER); }

  static void insert(Connection connection, int number, String name) throws SQLException {
    rows(connection, "INSERT INTO drivers.items (owner, id, name) VALUES (?, ?, ?)", OWNER, number, name);
  }

  static List<Object> items(Connection connection) throws SQLException {
    return rows(connection, "SELECT id, name FROM drivers.items WHERE owner = ? ORDER BY id", OWNER);
  }

  // ---- scenarios

  static Object transactions(Connection connection) throws Exception {
    empty(connection);
    connection.setAutoCommit(false);
    insert(connection, 1, "committed");
    connection.commit();
    insert(connection, 2, "rolled back");
    connection.rollback();
    insert(connection, 3, "before the savepoint");
    Savepoint savepoint = connection.setSavepoint("here");
    insert(connection, 4, "given up");
    connection.rollback(savepoint);
    insert(connection, 5, "after the savepoint");
    connection.releaseSavepoint(savepoint);
    connection.commit();
    connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
    connection.setReadOnly(true);
    List<Object> seen = new ArrayList<>(rows(connection, "SHOW transaction_isolation"));
    seen.add(refusal(() -> insert(connection, 6, "refused")));
    connection.rollback();
    connection.setReadOnly(false);
    connection.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
    seen.add(rows(connection, "SHOW transaction_isolation"));
    connection.commit();
    connection.setAutoCommit(true);
    seen.add(items(connection));
    return seen;
  }

  static Object prepared(Connection connection) throws Exception {
    List<Object> repeated = new ArrayList<>();
    try (PreparedStatement statement = connection.prepareStatement("SELECT ?::int * 2 + 1")) {
      for (int number = 0; number < 25; number++) {  // by the fifth it has a name on the server, by the sixth it is binary
        statement.setInt(1, number);
        try (ResultSet set = statement.executeQuery()) { set.next(); repeated.add(set.getInt(1)); }
      }
    }
    long sum = 0;
    for (int turn = 0; turn < 7; turn++) {
      for (int number = 0; number < 40; number++) {
        try (PreparedStatement statement = connection.prepareStatement("SELECT ?::int + " + number)) {
          statement.setInt(1, turn);
          try (ResultSet set = statement.executeQuery()) { set.next(); sum += set.getInt(1); }
        }
      }
    }
    List<Object> types = new ArrayList<>();  // the types of a parameter change under the same text
    for (Object value : new Object[] {1, "text", 5L, 2.5, 1, 1, 1, 1, 1, 1, "text"}) types.add(rows(connection, "SELECT pg_typeof(?)::text, 1", value).size());
    ParameterMetaData described = connection.prepareStatement("SELECT ?::int, ?::text").getParameterMetaData();
    return List.of(repeated, sum, types, described.getParameterTypeName(1), described.getParameterTypeName(2));
  }

  static Object always_prepared(Connection ignored) throws Exception {
    List<Object> seen = new ArrayList<>();
    for (String mode : new String[] {"&prepareThreshold=1", "&prepareThreshold=-1", "&prepareThreshold=0", "&preferQueryMode=simple",
        "&preferQueryMode=extendedForPrepared", "&preferQueryMode=extendedCacheEverything", "&preparedStatementCacheQueries=3&prepareThreshold=1",
        "&autosave=always", "&autosave=conservative", "&binaryTransfer=false"}) {
      try (Connection mine = open(mode)) {
        long sum = 0;
        mine.setAutoCommit(false);
        for (int turn = 0; turn < 8; turn++) {
          for (int number = 0; number < 5; number++) sum += ((Number) ((List<?>) rows(mine, "SELECT ?::int8 + " + number, turn).get(0)).get(0)).longValue();
          if (mode.startsWith("&autosave")) seen.add(refusal(() -> rows(mine, "SELECT 1/0")));
          mine.commit();
        }
        seen.add(List.of(mode, sum));
      }
    }
    return seen;
  }

  static Object cursors(Connection connection) throws Exception {
    connection.setAutoCommit(false);
    List<Object> seen = new ArrayList<>();
    try (PreparedStatement statement = connection.prepareStatement("SELECT n, n * ?::int FROM generate_series(1, 500) AS n")) {
      for (int turn = 0; turn < 7; turn++) {
        statement.setFetchSize(70);
        statement.setInt(1, turn);
        long sum = 0;
        try (ResultSet set = statement.executeQuery()) { while (set.next()) sum += set.getInt(2); }
        seen.add(sum);
      }
      statement.setMaxRows(5);
      statement.setInt(1, 1);
      seen.add(rows(statement.executeQuery()));
    }
    try (Statement one = connection.createStatement(); Statement other = connection.createStatement()) {  // two portals at once
      one.setFetchSize(3);
      other.setFetchSize(4);
      ResultSet first = one.executeQuery("SELECT generate_series(1, 20)"), second = other.executeQuery("SELECT generate_series(101, 120)");
      long mixed = 0;
      while (first.next() && second.next()) mixed = mixed * 7 % 1000003 + first.getInt(1) * 31 + second.getInt(1);
      seen.add(mixed);
    }
    connection.commit();
    connection.setAutoCommit(true);
    return seen;
  }

  static Object held_cursors(Connection connection) throws Exception {
    connection.setAutoCommit(false);
    List<Object> seen = new ArrayList<>();
    try (Statement statement = connection.createStatement(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY, ResultSet.HOLD_CURSORS_OVER_COMMIT)) {
      seen.add(rows(statement.executeQuery("SELECT generate_series(1, 5)")));
    }
    plain(connection, "DECLARE kept CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 20)");
    connection.commit();
    seen.add(rows(connection, "FETCH 3 FROM kept"));
    connection.commit();
    seen.add(rows(connection, "FETCH 2 FROM kept"));
    plain(connection, "CLOSE kept");
    connection.commit();
    connection.setAutoCommit(true);
    return seen;
  }

  static Object copy(Connection connection) throws Exception {
    empty(connection);
    CopyManager copies = connection.unwrap(PGConnection.class).getCopyAPI();
    StringBuilder lines = new StringBuilder();
    for (int number = 0; number < 2000; number++) lines.append(OWNER + "\t" + number + "\trow " + number + "\t\\N\n");
    long in = copies.copyIn("COPY drivers.items FROM STDIN", new StringReader(lines.toString()));
    StringWriter out = new StringWriter();
    long rows = copies.copyOut("COPY (SELECT id, name FROM drivers.items WHERE owner = '" + OWNER + "' ORDER BY id) TO STDOUT CSV", out);
    List<Object> refused = refusal(() -> copies.copyIn("COPY drivers.items FROM STDIN", new StringReader((OWNER + "\tnonsense\tx\t1\n").repeat(500))));
    var given_up = copies.copyIn("COPY drivers.items FROM STDIN");
    byte[] line = (OWNER + "\t9000\tleft\t1\n").getBytes();
    given_up.writeToCopy(line, 0, line.length);
    List<Object> cancelled = refusal(given_up::cancelCopy);
    return List.of(in, rows, out.toString().length(), refused, cancelled, rows(connection, "SELECT count(*) FROM drivers.items WHERE owner = ?", OWNER));
  }

  static Object notify(Connection connection) throws Exception {
    plain(connection, "LISTEN pgjdbc_news");
    try (Connection speaker = open("")) {
      for (int number = 0; number < 5; number++) rows(speaker, "SELECT pg_notify('pgjdbc_news', ?)", "item " + number);
    }
    List<Object> heard = new ArrayList<>();
    for (int turn = 0; turn < 100 && heard.size() < 5; turn++) {
      PGNotification[] news = connection.unwrap(PGConnection.class).getNotifications(200);
      if (news != null) for (PGNotification one : news) heard.add(List.of(one.getName(), one.getParameter()));
    }
    plain(connection, "UNLISTEN *");
    return heard;
  }

  static Object cancel(Connection connection) throws Exception {
    long begin = System.nanoTime();
    List<Object> seen = new ArrayList<>();
    try (Statement statement = connection.createStatement()) {
      Timer timer = new Timer(true);
      timer.schedule(new TimerTask() { public void run() { try { statement.cancel(); } catch (SQLException error) { error.printStackTrace(); } } }, 200);
      seen.add(refusal(() -> statement.execute("SELECT pg_sleep(30)")));
      timer.cancel();
    }
    try (Statement statement = connection.createStatement()) {
      statement.setQueryTimeout(1);
      seen.add(refusal(() -> statement.execute("SELECT pg_sleep(30)")));
    }
    seen.add(System.nanoTime() - begin < 20_000_000_000L);
    seen.add(rows(connection, "SELECT 'usable'"));
    return seen;
  }

  static Object errors(Connection connection) throws Exception {
    empty(connection);
    List<Object> seen = new ArrayList<>();
    for (String text : new String[] {"SELEC 1", "SELECT 1/0", "SELECT * FROM nowhere", "SELECT nothing()", "SELECT 'x'::int",
        "INSERT INTO drivers.items (owner, id) VALUES ('nobody', 1)"}) {
      seen.add(refusal(() -> plain(connection, text)));
      for (int turn = 0; turn < 6; turn++) seen.add(refusal(() -> rows(connection, text)).get(0));
    }
    insert(connection, 1, "first");
    connection.setAutoCommit(false);
    insert(connection, 2, "lost with its transaction");
    seen.add(refusal(() -> insert(connection, 1, "again")));
    seen.add(refusal(() -> rows(connection, "SELECT 1")));
    connection.rollback();
    connection.setAutoCommit(true);
    seen.add(items(connection));
    seen.add(rows(connection, "SELECT 'usable'"));
    try (Statement statement = connection.createStatement()) {
      statement.execute("DO $$ BEGIN RAISE WARNING 'watch out'; END $$");
      seen.add(statement.getWarnings().getMessage());
      List<Object> many = new ArrayList<>();
      boolean more = statement.execute("SELECT 1; SELECT 2; SELECT 3");
      for (; more; more = statement.getMoreResults()) many.add(rows(statement.getResultSet()));
      seen.add(many);
    }
    return seen;
  }

  static Object values(Connection connection, String[] list) throws Exception {
    List<Object> seen = new ArrayList<>();
    for (String value : list) {
      Set<Object> forms = new LinkedHashSet<>();  // text first, binary once it is prepared
      for (int turn = 0; turn < 7; turn++) forms.add(json(rows(connection, "SELECT " + value)));
      seen.add(List.of(value, forms));
    }
    return seen;
  }

  static Object types(Connection connection) throws Exception {
    List<Object> given = new ArrayList<>();
    for (int turn = 0; turn < 7; turn++) {
      given = rows(connection, "SELECT ?::int8, ?::numeric, ?::text, ?::bytea, ?::uuid, ?::timestamp, ?::int[], ?::int", 1L << 40, new java.math.BigDecimal("7.5"), "ü",
        new byte[] {0, 1}, UUID.fromString("00112233-4455-6677-8899-aabbccddeeff"), Timestamp.valueOf("2024-02-29 12:00:00"),
        connection.createArrayOf("int4", new Object[] {1, null}), null);
    }
    return List.of(values(connection, VALUES), given);
  }

  static Object batch(Connection connection) throws Exception {
    empty(connection);
    List<Object> seen = new ArrayList<>();
    for (String mode : new String[] {"", "&reWriteBatchedInserts=true"}) {
      try (Connection mine = open(mode); PreparedStatement statement = mine.prepareStatement("INSERT INTO drivers.items (owner, id, name) VALUES (?, ?, ?)")) {
        mine.setAutoCommit(false);
        for (int number = 0; number < 500; number++) {
          statement.setString(1, OWNER);
          statement.setInt(2, number + (mode.isEmpty() ? 0 : 1000));
          statement.setString(3, "row " + number);
          statement.addBatch();
        }
        seen.add(statement.executeBatch().length);
        mine.commit();
      }
    }
    try (PreparedStatement statement = connection.prepareStatement("INSERT INTO drivers.items (owner, id, name) VALUES (?, ?, 'n') RETURNING id", Statement.RETURN_GENERATED_KEYS)) {
      for (int number : new int[] {5000, 5001, 7, 5002}) {
        statement.setString(1, OWNER);
        statement.setInt(2, number);
        statement.addBatch();
      }
      seen.add(refusal(statement::executeBatch));
    }
    try (Statement statement = connection.createStatement()) {
      statement.addBatch("UPDATE drivers.items SET amount = 1 WHERE owner = 'pgjdbc' AND id < 10");
      statement.addBatch("DELETE FROM drivers.items WHERE owner = 'pgjdbc' AND id = 3");
      seen.add(Arrays.toString(statement.executeBatch()));
    }
    seen.add(rows(connection, "SELECT count(*), sum(id), sum(amount) FROM drivers.items WHERE owner = ?", OWNER));
    return seen;
  }

  static Object parameters(Connection ignored) throws Exception {
    List<Object> seen = new ArrayList<>();
    String show = "SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('extra_float_digits'), current_setting('application_name')";
    try (Connection mine = open("&ApplicationName=the%20program&currentSchema=drivers,public")) {
      seen.add(rows(mine, show));
      mine.setSchema("public");
      mine.setClientInfo("ApplicationName", "renamed");
      plain(mine, "SET work_mem = '7MB'");
      seen.add(rows(mine, show));
      mine.setAutoCommit(false);
      plain(mine, "SET work_mem = '9MB'");
      plain(mine, "SET LOCAL search_path = drivers");
      seen.add(rows(mine, show));
      mine.rollback();
      seen.add(rows(mine, show));
      mine.commit();
      seen.add(List.of(mine.getClientInfo("ApplicationName"), mine.getSchema()));
    }
    return seen;
  }

  static Object session_state(Connection connection) throws Exception {
    plain(connection, "CREATE TEMPORARY TABLE mine (n int)");
    for (int number = 0; number < 5; number++) rows(connection, "INSERT INTO mine VALUES (?)", number);
    List<Object> seen = new ArrayList<>(rows(connection, "SELECT count(*), sum(n) FROM mine"));
    plain(connection, "DROP TABLE mine");
    plain(connection, "SELECT pg_advisory_lock(4716)");
    seen.add(rows(connection, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"));
    seen.add(rows(connection, "SELECT pg_advisory_unlock(4716), pg_advisory_unlock(4716)"));
    plain(connection, "PREPARE plus AS SELECT $1::int + 1");
    seen.add(rows(connection, "EXECUTE plus(41)"));
    plain(connection, "DEALLOCATE plus");
    seen.add(refusal(() -> rows(connection, "EXECUTE plus(41)")));
    plain(connection, "DISCARD TEMP");
    return seen;
  }

  static Object deallocate_all(Connection ignored) throws Exception {
    List<Object> seen = new ArrayList<>();  // the driver notices it by the tag and prepares anew
    try (Connection mine = open("&prepareThreshold=1")) {
      for (int turn = 0; turn < 3; turn++) {
        seen.add(rows(mine, "SELECT ?::int + 1", turn));
        seen.add(rows(mine, "SELECT ?::int + 2", turn));
        plain(mine, turn == 1 ? "DISCARD ALL" : "DEALLOCATE ALL");
      }
    }
    return seen;
  }

  static Object large_objects(Connection connection) throws Exception {
    connection.setAutoCommit(false);
    LargeObjectManager large = connection.unwrap(PGConnection.class).getLargeObjectAPI();
    long oid = large.createLO();
    LargeObject one = large.open(oid, LargeObjectManager.READWRITE);
    one.write("abc".repeat(50_000).getBytes());
    one.seek(75_000);
    List<Object> seen = new ArrayList<>(List.of(new String(one.read(6)), one.size(), one.tell()));
    one.truncate(10);
    seen.add(one.size());
    one.close();
    large.delete(oid);
    connection.commit();
    connection.setAutoCommit(true);
    return seen;
  }

  static Object metadata(Connection connection) throws Exception {
    DatabaseMetaData data = connection.getMetaData();
    List<Object> seen = new ArrayList<>();
    ResultSet columns = data.getColumns(null, "drivers", "%", "%");
    while (columns.next()) seen.add(List.of(columns.getString("TABLE_NAME"), columns.getString("COLUMN_NAME"), columns.getString("TYPE_NAME")));
    ResultSet keys = data.getPrimaryKeys(null, "drivers", "items");
    while (keys.next()) seen.add(keys.getString("COLUMN_NAME"));
    return seen;
  }

  static Object parallel(Connection ignored) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(SESSIONS);
    List<Future<Object>> futures = new ArrayList<>();
    for (int session = 0; session < SESSIONS; session++) {
      final int number = session;
      futures.add(pool.submit(() -> {
        try (Connection mine = open("")) {
          plain(mine, "SET work_mem = '" + (1000 + number) + "kB'");
          long sum = 0;
          for (int turn = 0; turn < 10; turn++) {
            Object found = rows(mine, "SELECT ?::int * " + number + ", current_setting('work_mem')", turn).get(0);
            if (!found.equals(List.of(turn * number, (1000 + number) + "kB"))) throw new IllegalStateException("session " + number + ": " + found);
            if (turn % 3 == 0 && !refusal(() -> rows(mine, "SELECT ?::int/0", number)).get(0).equals("22012")) throw new IllegalStateException("no error");
            sum += turn * number;
          }
          return sum;
        }
      }));
    }
    List<Object> seen = new ArrayList<>();
    for (Future<Object> future : futures) seen.add(future.get());
    pool.shutdown();
    return seen;
  }

  // ---- the program

  static void add(String name, boolean moves, Body body) {
    scenarios.put(name, body);
    if (moves) movable.add(name);
  }

  static Connection connection;

  static void one(String name) throws Exception {
    String line = "{\"scenario\": " + json(name) + ", ";
    try {
      if (connection == null) connection = open("");
      line += "\"result\": " + json(scenarios.get(name).run(connection)) + "}";
    } catch (Throwable error) {
      error.printStackTrace();
      line += "\"error\": " + json(error.toString()) + "}";
      try { if (connection != null) connection.close(); } catch (SQLException late) { late.printStackTrace(); }
      connection = null;
    }
    System.out.write((line + "\n").getBytes("UTF-8"));
    System.out.flush();
  }

  public static void main(String[] words) throws Exception {
    add("transactions", true, Jdbc::transactions);
    add("prepared", true, Jdbc::prepared);
    add("always_prepared", true, Jdbc::always_prepared);
    add("cursors", true, Jdbc::cursors);
    add("held_cursors", false, Jdbc::held_cursors);
    add("copy", true, Jdbc::copy);
    add("notify", false, Jdbc::notify);
    add("cancel", true, Jdbc::cancel);
    add("errors", true, Jdbc::errors);
    add("types", true, Jdbc::types);
    add("user_types", false, mine -> values(mine, USER_VALUES));
    add("batch", true, Jdbc::batch);
    add("parameters", false, Jdbc::parameters);
    add("session_state", false, Jdbc::session_state);
    add("deallocate_all", false, Jdbc::deallocate_all);
    add("large_objects", false, Jdbc::large_objects);
    add("metadata", false, Jdbc::metadata);
    add("parallel", true, Jdbc::parallel);
    if (words.length == 1 && words[0].equals("loop")) {
      File stop = new File(System.getenv("DRIVER_STOP"));
      while (!stop.exists())
        for (String name : scenarios.keySet()) if (movable.contains(name)) one(name);
    } else {
      for (String name : words.length > 0 ? Arrays.asList(words) : new ArrayList<>(scenarios.keySet())) one(name);
    }
    if (connection != null) connection.close();
  }
}
