package server

import (
	"bytes"
	"errors"
	"io"

	"github.com/firndb/firn/blockfile/codec"
	"github.com/firndb/firn/blockfile/foreign"
	"github.com/firndb/firn/engine"
)

// avro makes each record of an Avro Object Container File a record of one batch. Their JSON has
// to be made first, into one buffer: names repeat in it, so it can be far longer than the body
// and has the same limit of its own.
func (in *intake) avro(batch engine.Batch, body []byte, o Options) error {
	r, err := foreign.NewReader(bytes.NewReader(body), foreign.Options{
		MaxRecordBytes: o.MaxRecordBytes,
		MaxBlockRaw:    o.MaxBodyBytes,
	})
	if err != nil {
		return avroProblem(err)
	}
	var ends []int
	for {
		record, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return avroProblem(err)
		}
		if len(in.made)+len(record) > o.MaxBodyBytes {
			return refuse(codeTooLarge, "the records take more than %d bytes as JSON", o.MaxBodyBytes)
		}
		if len(ends) == maxRecords {
			return refuse(codeTooLarge, "more than %d records in one request", maxRecords)
		}
		in.made = append(in.made, record...)
		ends = append(ends, len(in.made))
	}
	// The buffer has its final place only now.
	start := 0
	for _, end := range ends {
		in.records = append(in.records, in.made[start:end:end])
		start = end
	}
	in.one(batch)
	return nil
}

// avroProblem says what is wrong with an Avro body.
func avroProblem(err error) error {
	var r *foreign.RecordError
	switch {
	case errors.As(err, &r) && errors.Is(err, foreign.ErrRecordTooLarge):
		return refuse(codeTooLarge, "records[%d]: %s", r.Index, r.Reason)
	case errors.As(err, &r):
		return refuse(codeInvalidRecord, "records[%d]: %s", r.Index, r.Reason)
	case errors.Is(err, codec.ErrUnknown):
		return refuse(codeMediaType, "%s", err)
	case errors.Is(err, codec.ErrTooLarge):
		return refuse(codeTooLarge, "%s", err)
	}
	return refuse(codeInvalidBody, "%s", err)
}
