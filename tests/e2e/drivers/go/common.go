// What the Go programs share; the rules are in common.py.
package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

const sessions = 16

var values = []string{"true", "(-32768)::int2", "2147483647::int4", "9223372036854775807::int8", "1.5::float4", "0.1::float8",
	"12345678901234567890.0123456789::numeric", "'Größe ≠ 漢字 🙂'::text", "''::text", `'\x00ff10275c'::bytea`,
	`'{"b": [1, 2.5, null], "a": "ü"}'::json`, `'{"b": [1, 2.5, null], "a": "ü"}'::jsonb`, "'2024-02-29 12:34:56.789012'::timestamp",
	"'2024-02-29 12:34:56.789012+02'::timestamptz", "'2024-02-29'::date", "'23:59:59.5'::time", "'00112233-4455-6677-8899-aabbccddeeff'::uuid",
	"ARRAY[1, 2, NULL]::int4[]", `ARRAY['a', 'b,"c', NULL]::text[]`, "NULL::int4", "'192.168.1.7'::inet", "'3 days 04:05:06.7'::interval",
	"'[1,10)'::int4range", "repeat('long', 5000)"}

var userValues = []string{"'green'::drivers.colour", "ARRAY['red', 'blue', NULL]::drivers.colour[]", "ROW(1, 2, 'a b')::drivers.spot",
	"ARRAY[ROW(1, 2, 'a'), ROW(3, NULL, NULL)]::drivers.spot[]", "55::drivers.percent", "'[1.5,2.5)'::drivers.span", "'sad'::mood"}

type list = []interface{}

func environment(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func dsn(more string) string {
	return fmt.Sprintf("host=%s port=%s user=%s dbname=%s sslmode=disable %s", environment("PGHOST", "127.0.0.1"), environment("PGPORT", "5432"),
		environment("PGUSER", "app"), environment("PGDATABASE", "app"), more)
}

func shown(value interface{}) interface{} {
	switch held := value.(type) {
	case []byte:
		return hex.EncodeToString(held)
	case time.Time:
		return held.UTC().Format(time.RFC3339Nano)
	case nil, bool, string, int16, int32, int64, float32, float64:
		return held
	default:
		return fmt.Sprintf("%v", held)
	}
}

// An error that the scenario did not expect ends the scenario.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func inParallel(work func(number int) interface{}) list {
	results := make(list, sessions)
	failures := make(chan interface{}, sessions)
	var group sync.WaitGroup
	for number := 0; number < sessions; number++ {
		group.Add(1)
		go func(number int) {
			defer group.Done()
			defer func() {
				if failure := recover(); failure != nil {
					failures <- failure
				}
			}()
			results[number] = work(number)
		}(number)
	}
	group.Wait()
	select {
	case failure := <-failures:
		panic(failure)
	default:
	}
	return results
}

type scenario struct {
	name    string
	movable bool
	body    func() interface{}
}

// reset throws away the connection that the scenarios share, after one has failed.
func runAll(scenarios []scenario, reset func()) {
	one := func(chosen scenario) {
		line := map[string]interface{}{"scenario": chosen.name}
		func() {
			defer func() {
				if failure := recover(); failure != nil {
					line["error"] = fmt.Sprintf("%v", failure)
					fmt.Fprintln(os.Stderr, chosen.name, failure)
					reset()
				}
			}()
			line["result"] = chosen.body()
		}()
		text, err := json.Marshal(line)
		must(err)
		os.Stdout.Write(append(text, '\n'))
	}
	if len(os.Args) == 2 && os.Args[1] == "loop" {
		for {
			if _, err := os.Stat(os.Getenv("DRIVER_STOP")); err == nil {
				return
			}
			for _, each := range scenarios {
				if each.movable {
					one(each)
				}
			}
		}
	}
	for _, each := range scenarios {
		wanted := len(os.Args) == 1
		for _, name := range os.Args[1:] {
			wanted = wanted || name == each.name
		}
		if wanted {
			one(each)
		}
	}
}
