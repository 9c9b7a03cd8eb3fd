// Command digests is the baseline of a start with many keys: it fetches every
// digest of a store, whose file is its argument, by one SELECT through the driver
// that the gate uses, and prints how many there are and the nanoseconds of CPU,
// user and system, that this took of it.
//
// It does nothing with them, and changes nothing. The gate may run meanwhile.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"net/url"
	"os"
	"time"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: digests FILE")
	}
	n, spent, err := read(context.Background(), os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, spent.Nanoseconds())
}

// read returns how many digests the store at path has, and the CPU time that it
// took to fetch them.
func read(ctx context.Context, path string) (n int, spent time.Duration, err error) {
	name := url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return 0, 0, err
	}
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return 0, 0, err
	}
	before, err := used()
	if err != nil {
		return 0, 0, err
	}
	rows, err := db.QueryContext(ctx, `SELECT digest FROM secrets`)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	var digest []byte
	for rows.Next() {
		if err := rows.Scan(&digest); err != nil {
			return 0, 0, err
		}
		n++
	}
	if err := rows.Err(); err != nil {
		return 0, 0, err
	}
	after, err := used()
	return n, after - before, err
}

// used is the CPU time of this process so far.
func used() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t)
	return time.Duration(t.Nano()), err
}
