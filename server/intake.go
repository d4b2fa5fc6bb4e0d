package server

import (
	"bytes"
	"sync"

	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/engine"
)

// intake is what it takes to cut one body into batches. It is reused, so that a record costs no
// allocation; it belongs to one request at a time.
type intake struct {
	walker
	records [][]byte       // of all batches, in order; they share the memory of the body
	batches []engine.Batch // their Records are set by settle, when records grows no more
	firsts  []int          // index in records of the first record of each batch
	array   bool           // the body was an array of envelopes
	made    []byte         // records that had to be made: Avro has none to share
}

// keepRecords is the longest list of records that is kept for the next request.
const keepRecords = 64 << 10

var intakes = sync.Pool{New: func() any {
	return &intake{walker: walker{jsonscan.NewScanner(jsonscan.Options{})}}
}}

func (in *intake) release() {
	clear(in.records) // they point into memory of the request
	clear(in.batches)
	in.records, in.batches, in.firsts = in.records[:0], in.batches[:0], in.firsts[:0]
	in.array = false
	if cap(in.records) > keepRecords {
		in.records = nil
	}
	if cap(in.batches) > keepRecords {
		in.batches, in.firsts = nil, nil
	}
	if cap(in.made) > keepBytes {
		in.made = nil
	}
	in.made = in.made[:0]
	intakes.Put(in)
}

func (in *intake) add(record []byte) error {
	if len(in.records) == maxRecords {
		return refuse(codeTooLarge, "more than %d records in one request", maxRecords)
	}
	in.records = append(in.records, record)
	return nil
}

// settle gives each batch its records.
func (in *intake) settle() {
	end := len(in.records)
	for i := len(in.batches) - 1; i >= 0; i-- {
		in.batches[i].Records = in.records[in.firsts[i]:end:end]
		end = in.firsts[i]
	}
}

// lines makes each line of body that is not empty a record of one batch.
func (in *intake) lines(batch engine.Batch, body []byte) error {
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, []byte{'\n'})
		body = rest
		if line = bytes.TrimSuffix(line, []byte{'\r'}); len(line) > 0 {
			if err := in.add(line); err != nil {
				return err
			}
		}
	}
	in.one(batch)
	return nil
}

// one makes all records those of a single batch.
func (in *intake) one(batch engine.Batch) {
	in.batches = append(in.batches, batch)
	in.firsts = append(in.firsts, 0)
	in.settle()
}

// lineOf gives the number, from 1, of the line of body that became the n-th record.
func lineOf(body []byte, n int) int {
	for line := 1; ; line++ {
		text, rest, more := bytes.Cut(body, []byte{'\n'})
		if len(bytes.TrimSuffix(text, []byte{'\r'})) > 0 {
			if n == 0 {
				return line
			}
			n--
		}
		if !more {
			return line
		}
		body = rest
	}
}
