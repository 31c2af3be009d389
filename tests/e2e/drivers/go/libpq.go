// Go's database/sql with lib/pq: a statement is prepared, executed and closed for each query that has parameters.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lib/pq"
)

const owner = "lib/pq"

var db *sql.DB

func open(more string) *sql.DB {
	opened, err := sql.Open("postgres", dsn("options='-c work_mem=5MB' "+more))
	must(err)
	return opened
}

func reset() {
	if db != nil {
		db.Close()
	}
	db = open("")
}

type runner interface {
	QueryContext(ctx context.Context, query string, arguments ...interface{}) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, arguments ...interface{}) (sql.Result, error)
}

var background = context.Background()

func tryRows(on runner, text string, arguments ...interface{}) (found list, err error) {
	rows, err := on.QueryContext(background, text, arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	must(err)
	found = list{}
	for rows.Next() {
		row, into := make(list, len(columns)), make(list, len(columns))
		for at := range row {
			into[at] = &row[at]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for at := range row {
			row[at] = shown(row[at])
		}
		found = append(found, row)
	}
	return found, rows.Err()
}

func rows(on runner, text string, arguments ...interface{}) list {
	found, err := tryRows(on, text, arguments...)
	must(err)
	return found
}

func exec(on runner, text string, arguments ...interface{}) {
	_, err := on.ExecContext(background, text, arguments...)
	must(err)
}

func said(err error) list {
	if failure, ok := err.(*pq.Error); ok {
		return list{string(failure.Code), failure.Message, failure.Constraint, failure.Severity}
	}
	return list{fmt.Sprint(err)}
}

func refusal(on runner, text string, arguments ...interface{}) list {
	_, err := tryRows(on, text, arguments...)
	return said(err)
}

func empty() { exec(db, "DELETE FROM drivers.items WHERE owner = $1", owner) }

func insert(on runner, number int, name string) {
	exec(on, "INSERT INTO drivers.items (owner, id, name) VALUES ($1, $2, $3)", owner, number, name)
}

func items() list { return rows(db, "SELECT id, name FROM drivers.items WHERE owner = $1 ORDER BY id", owner) }

func transactions() interface{} {
	empty()
	begin := func(options *sql.TxOptions) *sql.Tx {
		transaction, err := db.BeginTx(background, options)
		must(err)
		return transaction
	}
	one := begin(nil)
	insert(one, 1, "committed")
	must(one.Commit())
	two := begin(nil)
	insert(two, 2, "rolled back")
	must(two.Rollback())
	three := begin(nil)
	insert(three, 3, "before the savepoint")
	exec(three, "SAVEPOINT s")
	insert(three, 4, "given up")
	exec(three, "ROLLBACK TO SAVEPOINT s")
	insert(three, 5, "after the savepoint")
	must(three.Commit())
	four := begin(&sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true})
	seen := list{rows(four, "SHOW transaction_isolation"), refusal(four, "INSERT INTO drivers.items (owner, id, name) VALUES ('nobody', 1, 'x')")}
	must(four.Rollback())
	five := begin(nil)
	refused := refusal(five, "SELECT 1/0")
	return append(seen, refused, fmt.Sprint(five.Commit()), items())
}

func prepared() interface{} {
	statement, err := db.Prepare("SELECT $1::int * 2 + 1")
	must(err)
	defer statement.Close()
	repeated := list{}
	for number := 0; number < 25; number++ {
		var value int
		must(statement.QueryRow(number).Scan(&value))
		repeated = append(repeated, value)
	}
	sum := 0
	var many []*sql.Stmt
	for number := 0; number < 60; number++ {
		one, err := db.Prepare(fmt.Sprintf("SELECT $1::int + %d", number))
		must(err)
		many = append(many, one)
	}
	for turn := 0; turn < 2; turn++ {
		for _, one := range many {
			var value int
			must(one.QueryRow(turn).Scan(&value))
			sum += value
		}
	}
	for _, one := range many {
		must(one.Close())
	}
	transaction, err := db.Begin()
	must(err)
	inside := transaction.Stmt(statement)
	var value int
	must(inside.QueryRow(5).Scan(&value))
	must(transaction.Commit())
	_, err = db.Prepare("SELECT nothing($1)")
	return list{repeated, sum, value, said(err)}
}

func binary() interface{} {
	own := open("binary_parameters=yes")
	defer own.Close()
	seen := list{}
	for turn := 0; turn < 5; turn++ {
		seen = append(seen, rows(own, "SELECT $1::int8, $2::text, $3::bytea, $4::timestamptz", turn, "ü", []byte{0, 1}, time.Unix(86400, 0)))
	}
	return append(seen, refusal(own, "SELECT $1::int/0", 1))
}

func cursors() interface{} {
	transaction, err := db.Begin()
	must(err)
	exec(transaction, "DECLARE walk SCROLL CURSOR FOR SELECT n, n * 3 FROM generate_series(1, 500) AS n")
	count := 0
	for {
		part := rows(transaction, "FETCH 70 FROM walk")
		count += len(part)
		if len(part) == 0 {
			break
		}
	}
	exec(transaction, "MOVE ABSOLUTE 50 FROM walk")
	jumped := rows(transaction, "FETCH 2 FROM walk")
	must(transaction.Commit())
	return list{count, jumped}
}

func heldCursors() interface{} {
	connection, err := db.Conn(background)
	must(err)
	defer connection.Close()
	exec(connection, "BEGIN; DECLARE kept CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 20); COMMIT")
	seen := list{rows(connection, "FETCH 3 FROM kept"), rows(connection, "FETCH 2 FROM kept")}
	exec(connection, "CLOSE kept")
	return append(seen, refusal(connection, "FETCH 1 FROM kept"))
}

func copying() interface{} {
	empty()
	send := func(number int, name interface{}) error {
		transaction, err := db.Begin()
		must(err)
		statement, err := transaction.Prepare(pq.CopyInSchema("drivers", "items", "owner", "id", "name"))
		must(err)
		for row := 0; row < number; row++ {
			if _, err := statement.Exec(owner, row, name); err != nil {
				transaction.Rollback()
				return err
			}
		}
		_, err = statement.Exec()
		if err == nil {
			err = statement.Close()
		}
		if err != nil {
			transaction.Rollback()
			return err
		}
		return transaction.Commit()
	}
	must(send(2000, "copied"))
	failed := send(10, nil)
	return list{said(failed)[0], rows(db, "SELECT count(*), sum(id), max(name) FROM drivers.items WHERE owner = $1", owner)}
}

func notify() interface{} {
	listener := pq.NewListener(dsn(""), time.Second, time.Second, nil)
	defer listener.Close()
	must(listener.Listen("lib_pq_news"))
	for number := 0; number < 5; number++ {
		exec(db, "SELECT pg_notify('lib_pq_news', $1)", fmt.Sprintf("item %d", number))
	}
	heard := list{}
	for len(heard) < 5 {
		select {
		case notification := <-listener.Notify:
			if notification != nil {
				heard = append(heard, list{notification.Channel, notification.Extra})
			}
		case <-time.After(20 * time.Second):
			return append(heard, "no more")
		}
	}
	must(listener.Ping())
	must(listener.UnlistenAll())
	return heard
}

func cancel() interface{} {
	begin := time.Now()
	limited, done := context.WithTimeout(background, 200*time.Millisecond)
	defer done()
	_, err := db.ExecContext(limited, "SELECT pg_sleep(30)")
	limitedToo, doneToo := context.WithTimeout(background, 200*time.Millisecond)
	defer doneToo()
	_, errToo := db.ExecContext(limitedToo, "SELECT pg_sleep($1)", 30)
	return list{said(err), said(errToo), time.Since(begin) < 20*time.Second, rows(db, "SELECT 'usable'")}
}

func failures() interface{} {
	empty()
	seen := list{}
	for _, text := range []string{"SELEC 1", "SELECT 1/0", "SELECT * FROM nowhere", "SELECT nothing()", "SELECT 'x'::int",
		"INSERT INTO drivers.items (owner, id) VALUES ('nobody', 1)"} {
		seen = append(seen, refusal(db, text), refusal(db, text+" -- $1", 1))
	}
	insert(db, 1, "first")
	transaction, err := db.Begin()
	must(err)
	insert(transaction, 2, "lost with its transaction")
	seen = append(seen, refusal(transaction, "INSERT INTO drivers.items (owner, id, name) VALUES ($1, 1, 'again')", owner), refusal(transaction, "SELECT 1"))
	must(transaction.Rollback())
	return append(seen, items(), rows(db, "SELECT 'usable'"))
}

func typed(of []string) interface{} {
	seen := list{}
	for _, value := range of {
		seen = append(seen, list{value, rows(db, "SELECT "+value), rows(db, "SELECT "+value+", $1::int", 1)})
	}
	return append(seen, rows(db, "SELECT $1::int8, $2::numeric, $3::text, $4::bytea, $5::int[], $6::int", int64(1)<<40, "7.5", "ü", []byte{0, 1},
		pq.Array([]int64{1, 2}), nil))
}

func parameters() interface{} {
	connection, err := db.Conn(background)
	must(err)
	defer connection.Close()
	show := func() list {
		return rows(connection, "SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('TimeZone')")
	}
	seen := list{show()}
	exec(connection, "SET work_mem = '7MB'; SET search_path = drivers, public; SET TimeZone = 'Asia/Tokyo'")
	seen = append(seen, show())
	exec(connection, "BEGIN")
	exec(connection, "SET work_mem = '9MB'")
	exec(connection, "SET LOCAL TimeZone = 'UTC'")
	seen = append(seen, show())
	exec(connection, "ROLLBACK")
	seen = append(seen, show())
	exec(connection, "SET work_mem = '5MB'; SET search_path TO DEFAULT; SET TimeZone TO DEFAULT")
	return append(seen, show())
}

func sessionState() interface{} {
	connection, err := db.Conn(background)
	must(err)
	defer connection.Close()
	exec(connection, "CREATE TEMPORARY TABLE mine (n int)")
	for number := 0; number < 5; number++ {
		exec(connection, "INSERT INTO mine VALUES ($1)", number)
	}
	seen := list{rows(connection, "SELECT count(*), sum(n) FROM mine")}
	exec(connection, "DROP TABLE mine")
	exec(connection, "SELECT pg_advisory_lock(4717)")
	seen = append(seen, rows(connection, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"))
	return append(seen, rows(connection, "SELECT pg_advisory_unlock(4717), pg_advisory_unlock(4717)"))
}

func largeObjects() interface{} {
	var oid int64
	must(db.QueryRow("SELECT lo_from_bytea(0, $1)", make([]byte, 150000)).Scan(&oid))
	exec(db, "SELECT lo_put($1, 1000, $2)", oid, []byte("changed"))
	return list{rows(db, "SELECT length(lo_get($1)), lo_get($1, 999, 9)", oid), rows(db, "SELECT lo_unlink($1)", oid)}
}

func parallel() interface{} {
	return inParallel(func(number int) interface{} {
		own := open("")
		defer own.Close()
		own.SetMaxOpenConns(1)
		exec(own, fmt.Sprintf("SET work_mem = '%dkB'", 1000+number))
		sum := 0
		for turn := 0; turn < 10; turn++ {
			var value int
			var memory string
			must(own.QueryRow(fmt.Sprintf("SELECT $1::int * %d, current_setting('work_mem')", number), turn).Scan(&value, &memory))
			if value != turn*number || memory != fmt.Sprintf("%dkB", 1000+number) {
				panic(fmt.Sprintf("session %d: %d %s", number, value, memory))
			}
			if turn%3 == 0 && refusal(own, "SELECT $1::int/0", number)[0] != "22012" {
				panic("no division by zero")
			}
			sum += value
		}
		return sum
	})
}

func pool() interface{} {
	return inParallel(func(number int) interface{} { return rows(db, "SELECT $1::int + 1", number) })
}

func main() {
	reset()
	runAll([]scenario{{"transactions", false, transactions}, {"prepared", false, prepared}, {"binary", false, binary}, {"cursors", false, cursors},
		{"held_cursors", false, heldCursors}, {"copy", false, copying}, {"notify", false, notify}, {"cancel", false, cancel}, {"errors", false, failures},
		{"types", false, func() interface{} { return typed(values) }}, {"user_types", false, func() interface{} { return typed(userValues) }},
		{"parameters", false, parameters}, {"session_state", false, sessionState}, {"large_objects", false, largeObjects},
		{"parallel", false, parallel}, {"pool", false, pool}}, reset)
	db.Close()
}
