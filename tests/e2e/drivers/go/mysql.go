// Go's database/sql with go-sql-driver: statements prepared on the server, executed and closed for each query that has parameters,
// or the values written into the text. The rules are in ../../drivers_mysql/mysql_dbapi.py.
package main

import (
	"context"
	"crypto/md5"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-sql-driver/mysql"
)

var (
	background = context.Background()
	db         *sql.DB
	connection *sql.Conn // what scenarios share: a session's state is its own
	shared     struct {
		Scenarios  map[string][]string
		Values     []string
		Parameters []map[string]interface{}
	}
	answersRows = regexp.MustCompile(`(?is)^\s*(SELECT|SHOW|DESCRIBE|EXPLAIN|CALL|CHECK|ANALYZE|HANDLER|EXECUTE|BEGIN NOT|SET STATEMENT|WITH)|RETURNING`)
	// It waits for ever when a further result is an error, also directly: such a text is only executed.
	failsLater = regexp.MustCompile(`fails\(|nonsense; SELECT`)
)

func mysqlDsn(change func(*mysql.Config)) string {
	config := mysql.NewConfig()
	config.User, config.Passwd, config.Net, config.DBName = os.Getenv("MYSQL_USER"), os.Getenv("MYSQL_PASSWORD"), "tcp", os.Getenv("MYSQL_DATABASE")
	config.Addr, config.Collation, config.MaxAllowedPacket = os.Getenv("MYSQL_HOST")+":"+os.Getenv("MYSQL_PORT"), "utf8mb4_general_ci", 64<<20
	if change != nil {
		change(config)
	}
	return config.FormatDSN()
}

func open(change func(*mysql.Config)) *sql.DB {
	opened, err := sql.Open("mysql", mysqlDsn(change))
	must(err)
	return opened
}

func reset() {
	if db != nil {
		connection.Close()
		db.Close()
	}
	db = open(nil)
	var err error
	connection, err = db.Conn(background)
	must(err)
}

type runner interface {
	QueryContext(ctx context.Context, query string, arguments ...interface{}) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, arguments ...interface{}) (sql.Result, error)
}

func said(err error) interface{} {
	var failure *mysql.MySQLError
	if errors.As(err, &failure) {
		return list{"error", failure.Number, failure.Message}
	}
	return list{"error", fmt.Sprint(err)}
}

func plain(value interface{}) interface{} {
	switch held := value.(type) {
	case []byte:
		if utf8.Valid(held) {
			return string(held)
		}
		return hex.EncodeToString(held)
	default:
		return shown(value)
	}
}

func result(rows *sql.Rows) (interface{}, error) {
	types, err := rows.ColumnTypes()
	must(err)
	columns, found := list{}, list{}
	for _, one := range types {
		nullable, _ := one.Nullable()
		length, _ := one.Length()
		precision, scale, _ := one.DecimalSize()
		columns = append(columns, list{one.Name(), one.DatabaseTypeName(), nullable, length, precision, scale, fmt.Sprint(one.ScanType())})
	}
	for rows.Next() {
		row, into := make(list, len(types)), make(list, len(types))
		for at := range row {
			into[at] = &row[at]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for at := range row {
			row[at] = plain(row[at])
		}
		found = append(found, row)
	}
	return list{columns, found}, rows.Err()
}

// All that a statement answers: each result, then an error if there is one.
func ask(on runner, text string, arguments ...interface{}) interface{} {
	if !answersRows.MatchString(text) || failsLater.MatchString(text) {
		done, err := on.ExecContext(background, text, arguments...)
		if err != nil {
			return said(err)
		}
		affected, _ := done.RowsAffected()
		id, _ := done.LastInsertId()
		return list{affected, id}
	}
	rows, err := on.QueryContext(background, text, arguments...)
	if err != nil {
		return said(err)
	}
	defer rows.Close()
	seen := list{}
	for {
		one, err := result(rows)
		if err != nil {
			return append(seen, said(err))
		}
		seen = append(seen, one)
		if !rows.NextResultSet() {
			if err := rows.Err(); err != nil {
				seen = append(seen, said(err))
			}
			return seen
		}
	}
}

func askAll(on runner, texts ...string) interface{} {
	seen := list{}
	for _, text := range texts {
		seen = append(seen, ask(on, text))
	}
	return seen
}

func commits() interface{} {
	seen := list{}
	ask(connection, "DELETE FROM items WHERE id BETWEEN 30 AND 39") // what the round before has left
	begin := func(options *sql.TxOptions) *sql.Tx {
		transaction, err := connection.BeginTx(background, options)
		must(err)
		return transaction
	}
	one := begin(nil)
	seen = append(seen, ask(one, "INSERT INTO items VALUES (?, ?)", 31, "committed"))
	must(one.Commit())
	two := begin(nil)
	seen = append(seen, ask(two, "INSERT INTO items VALUES (?, ?)", 32, "rolled back"))
	must(two.Rollback())
	three := begin(&sql.TxOptions{Isolation: sql.LevelReadCommitted})
	seen = append(seen, ask(three, "INSERT INTO items VALUES (?, ?)", 33, "kept"), ask(three, "INSERT INTO items VALUES (?, ?)", 33, "again"), ask(three, "SELECT in_transaction()"))
	must(three.Commit())
	four := begin(&sql.TxOptions{ReadOnly: true})
	seen = append(seen, ask(four, "INSERT INTO items VALUES (34, 'refused')"))
	must(four.Rollback())
	return append(seen, ask(connection, "SELECT id, name, in_transaction() FROM items WHERE id BETWEEN 30 AND 39 ORDER BY id"))
}

func prepared() interface{} {
	statement, err := connection.PrepareContext(background, "SELECT ? * 2 + 1")
	must(err)
	seen := list{}
	for number := 0; number < 25; number++ {
		var value string
		must(statement.QueryRow(number).Scan(&value))
		seen = append(seen, value)
	}
	must(statement.Close())
	var many []*sql.Stmt
	for number := 0; number < 60; number++ {
		one, err := connection.PrepareContext(background, fmt.Sprintf("SELECT ? + %d", number))
		must(err)
		many = append(many, one)
	}
	for turn := 0; turn < 2; turn++ {
		for _, one := range many {
			var value string
			must(one.QueryRow(turn).Scan(&value))
			seen = append(seen, value)
		}
	}
	for _, one := range many {
		must(one.Close())
	}
	return append(seen, bound(connection)...)
}

// The same with the values written into the text by the driver.
func interpolated() interface{} {
	own := open(func(config *mysql.Config) { config.InterpolateParams = true })
	defer own.Close()
	own.SetMaxOpenConns(1)
	return bound(own)
}

func bound(on runner) list {
	seen := list{}
	for _, value := range []interface{}{nil, true, -1, int64(1) << 62, 1.5, "Größe ≠ 漢字 🙂 '\"\\%\n", "", []byte{0, 255, 39, 92}, time.Date(2024, 2, 29, 12, 34, 56, 789012000, time.UTC),
		strings.Repeat("x", 70000)} {
		seen = append(seen, ask(on, "SELECT HEX(?), ? IS NULL", value, value))
	}
	for number, row := range shared.Parameters {
		names, values := []string{}, list{100 + number}
		for name := range row {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			values = append(values, row[name])
		}
		seen = append(seen, ask(on, "INSERT INTO typed (id, "+strings.Join(names, ", ")+") VALUES (?"+strings.Repeat(", ?", len(names))+")", values...))
	}
	seen = append(seen, ask(on, "SELECT * FROM typed WHERE id >= ? ORDER BY id", 100), ask(on, "DELETE FROM typed WHERE id >= ?", 100))
	for _, text := range []string{"SELECT nonsense, ?", "SELECT ? FROM nowhere", "SELEC ?", "INSERT INTO children VALUES (?, 4711)", "SELECT ?/0", "SET @s = ?", "SELECT @s, ?", "SELECT ?; SELECT 2"} {
		seen = append(seen, ask(on, text, 1))
	}
	return append(seen, ask(on, "SET @s = NULL"))
}

func types() interface{} {
	seen := list{}
	for _, value := range shared.Values {
		seen = append(seen, list{value, ask(connection, "SELECT "+value+" AS v"), ask(connection, "SELECT "+value+" AS v, ?", 1)})
	}
	return seen
}

func typedRows() interface{} {
	own := open(func(config *mysql.Config) { config.ParseTime = true })
	defer own.Close()
	return list{ask(connection, "SELECT * FROM typed ORDER BY id"), ask(connection, "SELECT * FROM typed WHERE id > ? ORDER BY id", 0), ask(own, "SELECT id, day, moment, stamp FROM typed WHERE id > ? ORDER BY id", 0)}
}

func multi() interface{} {
	own := open(func(config *mysql.Config) { config.MultiStatements = true })
	defer own.Close()
	own.SetMaxOpenConns(1)
	return askAll(own, "SELECT 1; SELECT 'ä', 2; DO 1; SELECT 3", "TRUNCATE TABLE items; INSERT INTO items VALUES (1, 'a'), (2, 'b')", "SELECT 1; SELECT nonsense; SELECT 2",
		"BEGIN; INSERT INTO items VALUES (3, 'c')", "SELECT in_transaction()", "ROLLBACK; DO 1", "SELECT in_transaction()", "CALL two_results(); SELECT 1",
		"SELECT 7 INTO @a; SELECT @a; USE other; SELECT DATABASE()", "SELECT @a, DATABASE()")
}

func large() interface{} {
	seen := list{}
	for number, size := range []int{5_000_000, 17_000_000} {
		body := make([]byte, size)
		for at := range body {
			body[at] = byte(at % 251)
		}
		sum := fmt.Sprintf("%x", md5.Sum(body))
		seen = append(seen, ask(connection, "REPLACE INTO large VALUES (?, ?)", number, body))
		for _, more := range []list{{number}, {}} {
			text := "SELECT LENGTH(body), MD5(body), body FROM large WHERE id = "
			if len(more) == 0 {
				text += fmt.Sprint(number)
			} else {
				text += "?"
			}
			var length int
			var told string
			var back []byte
			must(connection.QueryRowContext(background, text, more...).Scan(&length, &told, &back))
			seen = append(seen, list{length, told == sum, string(back) == string(body)})
		}
	}
	return append(seen, ask(connection, "TRUNCATE TABLE large"))
}

func streaming() interface{} {
	rows, err := connection.QueryContext(background, "SELECT seq, REPEAT('x', 500) FROM seq_1_to_20000")
	must(err)
	sum, count := 0, 0
	for rows.Next() {
		var number int
		var filling string
		must(rows.Scan(&number, &filling))
		sum += number + len(filling)
	}
	must(rows.Err())
	rows, err = connection.QueryContext(background, "SELECT seq, REPEAT('x', 500) FROM seq_1_to_20000 WHERE seq > ?", 0)
	must(err)
	for count < 30 && rows.Next() {
		count++
	}
	must(rows.Close()) // the rest is read away
	return list{sum, count, ask(connection, "SELECT 'usable'")}
}

// The driver has no other way than to leave its connection.
func cancel() interface{} {
	begin := time.Now()
	limited, done := context.WithTimeout(background, 200*time.Millisecond)
	defer done()
	_, err := db.ExecContext(limited, "DO SLEEP(5)")
	limitedToo, doneToo := context.WithTimeout(background, 200*time.Millisecond)
	defer doneToo()
	_, errToo := db.ExecContext(limitedToo, "DO SLEEP(?)", 5)
	return list{said(err), said(errToo), time.Since(begin) < 4*time.Second, ask(db, "SELECT 'usable'")}
}

func logins() interface{} {
	seen := list{}
	for _, change := range []func(*mysql.Config){
		func(config *mysql.Config) { config.Collation = "latin1_swedish_ci" },
		func(config *mysql.Config) { config.DBName = "other" },
		func(config *mysql.Config) { config.DBName = "" },
		func(config *mysql.Config) { config.ClientFoundRows = true },
		func(config *mysql.Config) {
			config.Params = map[string]string{"sort_buffer_size": "300032", "time_zone": "'+05:00'", "charset": "utf8mb4,utf8"}
		},
		func(config *mysql.Config) { config.Passwd = "wrong" },
		func(config *mysql.Config) { config.User = "nobody" },
		func(config *mysql.Config) { config.DBName = "no_such_database" },
		func(config *mysql.Config) { config.DBName = "mysql" }} {
		own := open(change)
		seen = append(seen, ask(own, "SELECT DATABASE(), @@sort_buffer_size, @@time_zone, @@character_set_client, @@collation_connection"),
			ask(own, "UPDATE shop.typed SET tiny = tiny WHERE id = 1"))
		must(own.Close())
	}
	return seen
}

func parallel() interface{} {
	return inParallel(func(number int) interface{} {
		own := open(nil)
		defer own.Close()
		own.SetMaxOpenConns(1)
		zone := fmt.Sprintf("+%02d:00", number%13)
		ask(own, fmt.Sprintf("SET sort_buffer_size = %d, time_zone = '%s'", 1024*(100+number), zone))
		hasVariable := number%2 == 1 && os.Getenv("DRIVER_STOP") == "" // it would keep its server, and stand in the way of a move
		if hasVariable {
			ask(own, fmt.Sprintf("SET @mine = %d", number))
		}
		sum := 0
		for turn := 0; turn < 10; turn++ {
			var size, product int
			var told string
			var mine sql.NullInt64
			must(own.QueryRow("SELECT @@sort_buffer_size, @@time_zone, @mine, ? * ?", turn, number).Scan(&size, &told, &mine, &product))
			if size != 1024*(100+number) || told != zone || mine.Valid != hasVariable || mine.Valid && mine.Int64 != int64(number) || product != turn*number {
				panic(fmt.Sprint("session ", number, ": ", size, told, mine, product))
			}
			transaction, err := own.Begin()
			must(err)
			_, err = transaction.Exec("REPLACE INTO entries (id, name) VALUES (?, ?)", 2000+number, fmt.Sprint("turn ", turn))
			must(err)
			if turn%2 == 1 {
				must(transaction.Commit())
			} else {
				must(transaction.Rollback())
			}
			sum += product
		}
		return list{sum, ask(own, "SELECT name FROM entries WHERE id = ?", 2000+number)}
	})
}

func pool() interface{} {
	own := open(nil)
	defer own.Close()
	own.SetMaxOpenConns(4)
	return inParallel(func(number int) interface{} { return ask(own, "SELECT ? + 1", number) })
}

func main() {
	mysql.SetLogger(silence{})
	text, err := os.ReadFile(os.Getenv("DRIVER_STATEMENTS"))
	must(err)
	must(json.Unmarshal(text, &shared))
	reset()
	scenarios := []scenario{}
	names := []string{}
	for name := range shared.Scenarios {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		texts := shared.Scenarios[name]
		scenarios = append(scenarios, scenario{name, false, func() interface{} { return askAll(connection, texts...) }})
	}
	runAll(append(scenarios, []scenario{{"commits", true, commits}, {"prepared", false, prepared}, {"interpolated", false, interpolated}, {"types", false, types}, {"typed_rows", false, typedRows},
		{"multi", false, multi}, {"large", false, large}, {"streaming", false, streaming}, {"cancel", false, cancel}, {"logins", false, logins},
		{"parallel", true, parallel}, {"pool", true, pool}}...), reset)
	db.Close()
}

type silence struct{}

func (silence) Print(...interface{}) {}
