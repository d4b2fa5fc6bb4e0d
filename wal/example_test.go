package wal_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/firndb/firn/wal"
)

// line is an entry of one line of text.
type line string

func (s line) Size() int                 { return len(s) }
func (s line) Fill(dst []byte) []byte    { return append(dst, s...) }
func (s line) Durable(_, _ wal.Position) {}

func Example() {
	dir, err := os.MkdirTemp("", "wal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	l, _, err := wal.Open(dir, wal.Options{}, func(wal.Frame) error { return nil })
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range []line{"first", "second"} {
		if err := l.Append(context.Background(), s); err != nil { // on disk when it returns
			log.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}

	l, found, err := wal.Open(dir, wal.Options{}, func(f wal.Frame) error {
		fmt.Printf("%s\n", f.Payload)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(found.Frames, "frames, closed cleanly:", found.Clean)
	if err := l.Trim(l.End()); err != nil { // when what they say is safe elsewhere
		log.Fatal(err)
	}
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// first
	// second
	// 2 frames, closed cleanly: true
}
