package server

import (
	"strconv"

	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/engine"
)

// An envelope is the JSON around the records of a batch:
//
//	{"dataset_id": "u1", "table": "battle", "time_field": "at", "records": [{…}, {…}]}
//
// A body is one envelope or an array of them. It is cut here, not validated whole: everything
// around the records is checked strictly, each record is handed on as the bytes between its
// braces, and the engine checks those strictly. So every byte of a body is checked once.

// maxRecords bounds the records of one request. A body of the smallest possible records would
// otherwise need ten times its size to describe them.
const maxRecords = 4 << 20

// envelopes cuts body into batches.
func (in *intake) envelopes(body []byte) error {
	i := jsonscan.SkipSpace(body, 0)
	var err error
	switch {
	case i < len(body) && body[i] == '{':
		i, err = in.envelope(body, i, "")
	case i < len(body) && body[i] == '[':
		in.array = true
		i, err = in.elements(body, i, "the array of envelopes", func(i, n int) (int, error) {
			at := "[" + strconv.Itoa(n) + "]"
			if body[i] != '{' {
				return 0, refuse(codeInvalidBody, "%s: not an object", at)
			}
			return in.envelope(body, i, at+".")
		})
	default:
		return refuse(codeInvalidBody, "the body is neither a JSON object nor an array of them")
	}
	if err != nil {
		return err
	}
	if i = jsonscan.SkipSpace(body, i); i < len(body) {
		return refuse(codeInvalidBody, "byte %d: something follows the JSON value", i)
	}
	in.settle()
	return nil
}

// envelope reads the object at i and adds a batch. at is how messages name the envelope: empty
// for the only one, "[2]." for the third of an array.
func (in *intake) envelope(b []byte, i int, at string) (int, error) {
	var batch engine.Batch
	var hasDataset, hasTable, hasTime, hasRecords bool
	first := len(in.records)
	once := func(seen *bool, name string) error {
		if *seen {
			return refuse(codeInvalidBody, "%s%s is given twice", at, name)
		}
		*seen = true
		return nil
	}
	i, err := in.members(b, i, at, func(key []byte, i int) (int, error) {
		var seen *bool
		var dst *string
		name := ""
		switch {
		case jsonscan.EqualString(key, "records"):
			if err := once(&hasRecords, "records"); err != nil {
				return 0, err
			}
			if b[i] != '[' {
				return 0, refuse(codeInvalidBody, "%srecords is not an array", at)
			}
			return in.elements(b, i, at+"records", func(i, n int) (int, error) {
				if b[i] != '{' {
					return 0, refuse(codeInvalidRecord, "%srecords[%d]: not a JSON object", at, n)
				}
				end := jsonscan.SkipValue(b, i)
				return end, in.add(b[i:end])
			})
		case jsonscan.EqualString(key, "dataset_id"):
			seen, dst, name = &hasDataset, &batch.Dataset, "dataset_id"
		case jsonscan.EqualString(key, "table"), jsonscan.EqualString(key, "table_name"):
			seen, dst, name = &hasTable, &batch.Table, "table (table_name)"
		case jsonscan.EqualString(key, "time_field"):
			seen, dst, name = &hasTime, &batch.TimeField, "time_field"
		default:
			return 0, refuse(codeInvalidBody, "%sunknown member %s", at, clip(key))
		}
		if err := once(seen, name); err != nil {
			return 0, err
		}
		text, end, err := in.text(b, i, at+name)
		*dst = text
		return end, err
	})
	switch {
	case err != nil:
		return 0, err
	case !hasDataset:
		return 0, refuse(codeInvalidBody, "%sdataset_id is missing", at)
	case !hasTable:
		return 0, refuse(codeInvalidBody, "%stable is missing", at)
	case !hasRecords:
		return 0, refuse(codeInvalidBody, "%srecords is missing", at)
	case hasTime && batch.TimeField == "":
		return 0, refuse(codeInvalidBody, "%stime_field is empty", at)
	}
	in.batches = append(in.batches, batch)
	in.firsts = append(in.firsts, first)
	return i, nil
}
