package engine

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/blockfile/schema"
)

// Read gives the records of a query in order of time. The first error ends it. See DB.Query for
// what is seen; breaking off early is fine.
func (db *DB) Read(ctx context.Context, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		r, err := db.Query(ctx, q)
		if err != nil {
			yield(Record{}, err)
			return
		}
		defer r.Close()
		for r.Next() {
			if !yield(r.Record(), nil) {
				return
			}
		}
		if err := r.Err(); err != nil {
			yield(Record{}, err)
		}
	}
}

// Rows is one read under way. Close it. Not safe for concurrent use.
type Rows struct {
	db     *DB
	ctx    context.Context
	cancel context.CancelFunc
	query  Query // bounds settled
	view   *view
	etag   string
	plan   Plan
	listed bool // plan lists blocks, ranges and chunks

	pages   []page   // still to come
	fetch   *fetcher // of the current page
	asking  sync.WaitGroup
	merge   merger
	skip    uint64 // records of time resume still to leave out
	resume  int64
	record  Record
	buf     []byte
	decoder *familyDecoder

	hot, cold  uint64
	lastTime   int64
	lastGiven  uint64 // records given with time lastTime, by this read and those before it
	nextCursor string
	missing    []Missing
	spent      spending
	err        error
	done       bool
	closed     bool
}

// settle checks a query and closes its open ends.
func (q *Query) settle() error {
	if err := checkName("dataset_id", []byte(q.Dataset), maxDatasetName); err != nil {
		return err
	}
	if err := checkName("table", []byte(q.Table), maxTableName); err != nil {
		return err
	}
	if !q.Bounded {
		if q.From == 0 {
			q.From = jsonscan.MinTime
		}
		if q.To == 0 {
			q.To = jsonscan.MaxTime
		}
		q.Bounded = true
	}
	if q.From > q.To {
		return invalid("from is after to")
	}
	q.From, q.To = max(q.From, jsonscan.MinTime), min(q.To, jsonscan.MaxTime)
	if q.Limit < 0 {
		return invalid("limit is negative")
	}
	return nil
}

// Query begins a read: it takes a view, in which every record acknowledged before is seen exactly
// once, and plans it without asking the store. ctx bounds the whole read.
func (db *DB) Query(ctx context.Context, q Query) (*Rows, error) {
	return db.query(ctx, q, false)
}

func (db *DB) query(ctx context.Context, q Query, listed bool) (*Rows, error) {
	if err := q.settle(); err != nil {
		return nil, err
	}
	if err := db.enter(); err != nil {
		return nil, err
	}
	db.counters.reads.Add(1)
	r := &Rows{db: db, query: q, listed: listed}
	r.ctx, r.cancel = context.WithCancel(ctx)
	if err := r.begin(); err != nil {
		_ = r.Close() // never fails
		return nil, err
	}
	return r, nil
}

// begin takes the view and plans the read.
func (r *Rows) begin() error {
	q := &r.query
	v, snap, err := r.db.takeView(q.Table, q.Dataset)
	if err != nil {
		return err
	}
	defer func() {
		snap.Close()
		v.letGo()
	}()
	r.view = v
	r.etag = r.makeETag()
	r.resume, r.lastTime = q.From, q.From
	from, to := q.From, q.To
	if q.Cursor != "" {
		c, err := parseCursor(q)
		if err != nil {
			return err
		}
		r.resume, r.skip = c.time, c.given
		r.lastTime, r.lastGiven = c.time, c.given
		if q.Descending {
			to = c.time
		} else {
			from = c.time
		}
	}
	return r.makePlan(snap, from, to)
}

// makeETag names what the answer depends on: what was asked, the file set, and the dataset's last
// hot record. All of it is durable, so the tag holds across restarts. With an interval sync, where
// a power cut can take back a sequence number, it holds for this process only.
func (r *Rows) makeETag() string {
	h := sha256.New()
	q := r.query.hash()
	h.Write(q[:])
	b := binary.LittleEndian.AppendUint64(nil, uint64(r.query.Limit))
	b = binary.LittleEndian.AppendUint64(b, r.view.logNext)
	b = binary.LittleEndian.AppendUint64(b, r.view.archivedSeq)
	b = binary.LittleEndian.AppendUint64(b, r.view.lastHot)
	b = append(b, flag(r.query.AllowPartial))
	b = appendName(b, r.query.Cursor)
	if t := r.db.tables.get([]byte(r.query.Table)); t != nil && r.view.lastHot > 0 {
		b = binary.LittleEndian.AppendUint64(b, t.version()) // an Avro answer with hot records has this schema
	}
	b = appendName(b, r.db.identity.StoreID)
	if r.db.opts.WAL.Interval > 0 {
		b = appendName(b, r.db.started.String())
	}
	h.Write(b)
	return `"` + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18]) + `"`
}

// unreadable decides what becomes of a span that could not be loaded: it ends the read, or is
// named as missing.
func (r *Rows) unreadable(s *span, err error) error {
	if !r.query.AllowPartial || r.ctx.Err() != nil {
		return err
	}
	r.leaveOut(Missing{
		From: max(s.first, r.query.From), To: min(s.last, r.query.To), Records: uint64(s.records), Reason: err.Error(),
	})
	return nil
}

// leaveOut notes what a partial read lacks, once.
func (r *Rows) leaveOut(m Missing) {
	if !slices.Contains(r.missing, m) {
		r.missing = append(r.missing, m)
	}
}

// Next moves to the next record. It returns false at the end, at the limit, and on an error.
func (r *Rows) Next() bool {
	for !r.done && r.err == nil {
		ok, exhausted := r.step()
		if ok {
			return true
		}
		if !exhausted {
			break
		}
		if len(r.pages) == 0 {
			r.done = true
			break
		}
		r.err = r.openPage()
	}
	return false
}

// step takes the next record from the merge under way. Neither ok nor exhausted: the read is over,
// for its limit or for r.err.
func (r *Rows) step() (ok, exhausted bool) {
	for {
		rows, i, err := r.merge.next()
		if err == nil {
			err = r.ctx.Err()
		}
		if err != nil {
			r.err = err
			return false, false
		}
		if rows == nil {
			return false, true
		}
		t := rows.time(i)
		if r.skip > 0 {
			if t == r.resume {
				r.skip--
				continue
			}
			r.skip = 0 // fewer records of that time than before: they were erased or are missing
		}
		if r.query.Limit > 0 && r.hot+r.cold == uint64(r.query.Limit) {
			r.nextCursor = cursor{r.lastTime, r.lastGiven}.encode(&r.query)
			r.done = true
			return false, false
		}
		if t == r.lastTime {
			r.lastGiven++
		} else {
			r.lastTime, r.lastGiven = t, 1
		}
		if r.err = r.take(rows, i, t); r.err != nil {
			return false, false
		}
		return true, false
	}
}

// take makes record i the current one.
func (r *Rows) take(rs *rows, i int, t int64) error {
	if !rs.cold() {
		r.hot++
		r.record = Record{Time: t, JSON: rs.hot[i].JSON}
		return nil
	}
	dec, err := r.decoderOf(rs.family)
	if err != nil {
		return err
	}
	out, _, err := dec.AppendJSON(r.buf[:0], rs.raw[rs.offs[i]:])
	if err != nil {
		return fmt.Errorf("%w: record %d of a block: %w", ErrCorrupt, i, err)
	}
	r.buf = out
	r.cold++
	r.record = Record{Time: t, JSON: out, Cold: true}
	return nil
}

// familyDecoder is a decoder with the family it is for.
type familyDecoder struct {
	family *family
	*schema.Decoder
}

func (r *Rows) decoderOf(f *family) (*schema.Decoder, error) {
	if r.decoder == nil || r.decoder.family != f {
		r.decoder = &familyDecoder{f, f.schema.NewDecoder()}
	}
	return r.decoder.Decoder, nil
}

// Record is the current record, valid until the next call of Next or Close.
func (r *Rows) Record() Record { return r.record }

// Err is what ended the read early, nil at its end or its limit.
func (r *Rows) Err() error { return r.err }

// ETag identifies the answer: a strong validator, with its quotes, known before the first Next and
// without asking the store. Limit, cursor and order are part of it; the output format is not.
func (r *Rows) ETag() string { return r.etag }

// Planned says what the plan asks of the store: range requests and bytes. Cached blocks cost
// nothing.
func (r *Rows) Planned() (requests int, bytes int64) {
	return r.plan.Cold.StoreRequests, r.plan.Cold.StoreBytes
}

// Spent says what was asked of the store so far.
func (r *Rows) Spent() (requests int, bytes int64) {
	return int(r.spent.requests.Load()), r.spent.bytes.Load()
}

// Counts says how many records were given so far, by tier.
func (r *Rows) Counts() (hot, cold uint64) { return r.hot, r.cold }

// NextCursor goes on with the read where its limit ended it; "" when there is no more.
func (r *Rows) NextCursor() string { return r.nextCursor }

// Missing says what a partial read left out so far.
func (r *Rows) Missing() []Missing { return r.missing }

// Close lets go of everything the read holds. It may be called again.
func (r *Rows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	r.done = true
	r.cancel()
	r.asking.Wait()
	if r.view != nil {
		r.view.release()
	}
	r.db.leave()
	return nil
}
