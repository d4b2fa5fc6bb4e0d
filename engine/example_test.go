package engine_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/firndb/firn/engine"
)

// The program of the README: records in, archived, and read back in order of time.
func Example() {
	dir, err := os.MkdirTemp("", "firn-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := embedded(dir); err != nil {
		log.Fatal(err)
	}
	// Output:
	// accepted 2
	// archived 2 records into 1 files
	// {"timestamp":1714560000000,"kills":3,"map":"harbour"}
	// {"timestamp":1714560300000,"kills":5}
}

func embedded(dir string) error {
	ctx := context.Background()
	db, err := engine.Open(ctx, dir, engine.Options{})
	if err != nil {
		return err
	}
	defer db.Close()

	ack, err := db.Ingest(ctx, engine.Batch{
		Dataset: "u1", Table: "battle",
		Records: [][]byte{
			[]byte(`{"timestamp":1714560300000,"kills":5}`),
			[]byte(`{"timestamp":1714560000000,"kills":3,"map":"harbour"}`),
		},
		IdempotencyKey: "match-4711", // sent again, it is accepted once
	})
	if err != nil {
		return err // nothing of the batch was kept
	}
	fmt.Println("accepted", ack.Accepted) // and on disk

	report, err := db.Archive(ctx)
	if err != nil {
		return err
	}
	fmt.Println("archived", report.Records, "records into", report.Files, "files")

	for rec, err := range db.Read(ctx, engine.Query{Dataset: "u1", Table: "battle"}) {
		if err != nil {
			return err
		}
		fmt.Println(string(rec.JSON))
	}
	return nil
}
