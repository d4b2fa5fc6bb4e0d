package engine

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/blockfile/jsonscan"
	"github.com/firndb/firn/blockfile/schema"
	"github.com/firndb/firn/engine/catalog"
	"github.com/firndb/firn/engine/hot"
)

// pageBlocks is how many block references a read holds at a time: about 1 MB of them. A longer
// read goes page by page; a page is a range of whole days.
const pageBlocks = 8192

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

	pages   []page // still to come
	fetch   *fetcher
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

// page is a range of days whose references fit in memory.
type page struct {
	from, to int64 // ms, inclusive
	blocks   int
	groups   []coldGroup // kept when the whole read is one page
	have     bool
}

// coldGroup is the references of one file in a page.
type coldGroup struct {
	file *coldFile
	refs []blockfile.Ref
}

// coldFile is a block file as a read needs it.
type coldFile struct {
	row    catalog.FileRow
	family *family
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

func (db *DB) query(ctx context.Context, q Query, listed bool) (r *Rows, err error) {
	if err := q.settle(); err != nil {
		return nil, err
	}
	if err := db.enter(); err != nil {
		return nil, err
	}
	r = &Rows{db: db, query: q, listed: listed}
	r.ctx, r.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	db.counters.reads.Add(1)
	v, snap, err := db.takeView(q.Table, q.Dataset)
	if err != nil {
		return nil, err
	}
	defer snap.Close()
	r.view = v
	r.etag = r.makeETag()
	r.resume, r.lastTime = q.From, q.From
	from, to := q.From, q.To
	if q.Cursor != "" {
		c, err := parseCursor(&r.query)
		if err != nil {
			return nil, err
		}
		r.resume, r.skip = c.time, c.given
		r.lastTime, r.lastGiven = c.time, c.given
		if q.Descending {
			to = c.time
		} else {
			from = c.time
		}
	}
	if from > to {
		r.done = true
		return r, nil
	}
	return r, r.makePlan(snap, from, to)
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
	b = appendName(b, r.db.identity.StoreID)
	if r.db.opts.WAL.Interval > 0 {
		b = appendName(b, r.db.started.String())
	}
	h.Write(b)
	return `"` + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18]) + `"`
}

// makePlan walks the references and chunks of the whole read once: it cuts pages and counts what
// the store will be asked for.
func (r *Rows) makePlan(snap *catalog.Snapshot, from, to int64) error {
	q := &r.query
	r.plan = Plan{Dataset: q.Dataset, Table: q.Table, From: q.From, To: q.To, ETag: r.etag}
	cur := page{from: from, to: to}
	var pages []page
	lastDay := blockfile.DayOf(from)
	counter := r.newPlanner()
	files := make(map[catalog.FileID]*coldFile)
	var groups []coldGroup
	err := snap.Refs(q.Table, q.Dataset, blockfile.DayOf(from), blockfile.DayOf(to), func(g catalog.RefGroup) error {
		file, err := r.file(snap, files, g.File)
		if err != nil || file == nil {
			return err
		}
		refs, err := r.db.cache.references(g)
		if err != nil {
			return err
		}
		refs = within(refs, from, to)
		if len(refs) == 0 {
			return nil
		}
		if day := refs[0].Day; day != lastDay {
			if cur.blocks+len(refs) > pageBlocks && cur.blocks > 0 {
				cut := cur
				cut.to = blockfile.DayStart(day) - 1
				pages = append(pages, cut)
				cur = page{from: blockfile.DayStart(day), to: to}
				groups = nil // more than one page: each is read again when its turn comes
			}
			lastDay = day
		}
		cur.blocks += len(refs)
		counter.add(file, refs)
		if len(pages) == 0 {
			groups = append(groups, coldGroup{file, refs})
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(pages) == 0 {
		cur.groups, cur.have = groups, true
	}
	pages = append(pages, cur)
	if q.Descending {
		slices.Reverse(pages)
	}
	r.pages = pages
	counter.finish()
	return r.planHot(from, to)
}

// within cuts the references of one dataset and day to those that can hold records of a range.
func within(refs []blockfile.Ref, from, to int64) []blockfile.Ref {
	for len(refs) > 0 && refs[0].Last < from {
		refs = refs[1:]
	}
	for len(refs) > 0 && refs[len(refs)-1].First > to {
		refs = refs[:len(refs)-1]
	}
	return refs
}

// file looks a file up, once a read; nil when the view does not see it.
func (r *Rows) file(snap *catalog.Snapshot, known map[catalog.FileID]*coldFile, id catalog.FileID) (*coldFile, error) {
	if f, ok := known[id]; ok {
		return f, nil
	}
	row, ok, err := snap.File(id)
	if err != nil {
		return nil, err
	}
	if !ok || !r.view.sees(&row) {
		known[id] = nil
		return nil, nil
	}
	fam, err := r.db.cache.family(snap, r.db.info.Salt, &row)
	if err != nil {
		return nil, err
	}
	f := &coldFile{row: row, family: fam}
	known[id] = f
	return f, nil
}

// planHot counts what the read finds hot.
func (r *Rows) planHot(from, to int64) error {
	for _, m := range r.view.memory {
		if m.Len() > 0 && m.LastSeq() > r.view.floor {
			r.plan.Hot.MemoryRecords += m.Len()
		}
	}
	return r.chunks(from, to, func(g *genView, c hot.ChunkRef) {
		r.plan.Hot.Chunks++
		r.plan.Hot.ChunkRecords += uint64(c.Records)
		r.plan.Hot.StoredBytes += int64(c.StoredBytes)
		if r.listed {
			r.plan.Chunks = append(r.plan.Chunks, PlanChunk{
				Generation: g.h.id.String(), Records: c.Records, First: c.First, Last: c.Last, Bytes: c.StoredBytes,
			})
		}
	})
}

// chunks gives the chunks that the view sees and that can hold records of a range.
func (r *Rows) chunks(from, to int64, fn func(*genView, hot.ChunkRef)) error {
	for i := range r.view.gens {
		g := &r.view.gens[i]
		if g.applied == 0 {
			continue
		}
		tx, err := g.h.begin()
		if err != nil {
			return err
		}
		err = tx.Chunks(r.query.Table, r.query.Dataset, blockfile.DayOf(from), blockfile.DayOf(to), func(c hot.ChunkRef) error {
			if c.Run <= g.run && c.Last >= from && c.First <= to {
				fn(g, c)
			}
			return nil
		})
		tx.Close()
		if err != nil {
			return hotDamage(err)
		}
	}
	return nil
}

// openPage begins the merge of the next page.
func (r *Rows) openPage() error {
	p := r.pages[0]
	lists, err := r.takePage()
	if err != nil {
		return err
	}
	r.mergeSpans(lists, p.from, p.to)
	r.fetch.begin(r.query.Limit, r.skip)
	return nil
}

// takePage lists the spans of the next page.
func (r *Rows) takePage() ([][]*span, error) {
	p := r.pages[0]
	r.pages = r.pages[1:]
	if !p.have {
		snap, err := r.db.cat.View()
		if err != nil {
			return nil, err
		}
		defer snap.Close()
		files := make(map[catalog.FileID]*coldFile)
		err = snap.Refs(r.query.Table, r.query.Dataset, blockfile.DayOf(p.from), blockfile.DayOf(p.to), func(g catalog.RefGroup) error {
			file, err := r.file(snap, files, g.File)
			if err != nil || file == nil {
				return err
			}
			refs, err := r.db.cache.references(g)
			if err != nil {
				return err
			}
			if refs = within(refs, p.from, p.to); len(refs) > 0 {
				p.groups = append(p.groups, coldGroup{file, refs})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return r.spans(&p)
}

// mergeSpans begins a merge of sources, given by their spans in the order that decides ties.
func (r *Rows) mergeSpans(lists [][]*span, from, to int64) {
	sources := make([]*source, 0, len(lists))
	for i, spans := range lists {
		sources = append(sources, &source{
			order: i, desc: r.query.Descending, unreadable: r.unreadable,
			visits: visits(spans, from, to, r.query.Descending),
		})
	}
	r.merge.desc = r.query.Descending
	r.merge.reset(sources)
}

// spans lists where the records of a page lie, a list a source, the sources in the order that
// decides ties: block files by their sequence range, then generations and their runs, then memory
// tables.
func (r *Rows) spans(p *page) ([][]*span, error) {
	var lists [][]*span
	r.fetch = newFetcher(r)
	slices.SortStableFunc(p.groups, func(a, b coldGroup) int { return a.file.compare(b.file) })
	for i := 0; i < len(p.groups); {
		f := p.groups[i].file
		var spans []*span
		for ; i < len(p.groups) && p.groups[i].file == f; i++ {
			for _, ref := range p.groups[i].refs {
				spans = append(spans, r.fetch.span(f, ref))
			}
		}
		lists = append(lists, spans)
	}
	type runKey struct {
		g   *genView
		run uint64
	}
	runs := make(map[runKey]int)
	var firstRun = len(lists)
	var keys []runKey
	err := r.chunks(p.from, p.to, func(g *genView, c hot.ChunkRef) {
		k := runKey{g, c.Run}
		at, ok := runs[k]
		if !ok {
			at = len(lists)
			runs[k] = at
			lists = append(lists, nil)
			keys = append(keys, k)
		}
		lists[at] = append(lists[at], chunkSpan(g, c))
	})
	if err != nil {
		return nil, err
	}
	// Chunks came day by day; the runs of a generation must stand in the order of acceptance.
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if keys[a].g != keys[b].g {
			return compareIDs(keys[a].g.h.id, keys[b].g.h.id)
		}
		return compareIDs(keys[a].run, keys[b].run)
	})
	sorted := slices.Clone(lists[:firstRun])
	for _, i := range order {
		sorted = append(sorted, lists[firstRun+i])
	}
	for _, m := range r.view.memory {
		recs := m.Append(nil, p.from, p.to, r.view.floor)
		if len(recs) > 0 {
			sorted = append(sorted, []*span{memorySpan(recs)})
		}
	}
	for _, spans := range sorted {
		sortSpans(spans)
	}
	return sorted, nil
}

func compareIDs[T ~uint64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// compare orders files by what decides ties: the sequence range of the run, then the place in it.
func (f *coldFile) compare(o *coldFile) int {
	if c := compareIDs(f.row.FirstSeq, o.row.FirstSeq); c != 0 {
		return c
	}
	return compareIDs(f.row.ID, o.row.ID)
}

func memorySpan(recs []hot.Record) *span {
	r := &rows{hot: recs}
	return &span{
		first: recs[0].Time, last: recs[len(recs)-1].Time, records: uint32(len(recs)),
		load: func() (*rows, error) { return r, nil },
	}
}

func chunkSpan(g *genView, c hot.ChunkRef) *span {
	return &span{
		first: c.First, last: c.Last, records: c.Records, tie: c.LastSeq,
		load: func() (*rows, error) {
			tx, err := g.h.begin()
			if err != nil {
				return nil, err
			}
			defer tx.Close()
			recs, _, err := tx.Load(c, nil, nil)
			if err != nil {
				return nil, hotDamage(err)
			}
			return &rows{hot: recs}, nil
		},
	}
}

// unreadable decides what becomes of a span that could not be loaded: it ends the read, or is
// named as missing.
func (r *Rows) unreadable(s *span, err error) error {
	if !r.query.AllowPartial || r.ctx.Err() != nil {
		return err
	}
	from, to := max(s.first, r.query.From), min(s.last, r.query.To)
	for _, m := range r.missing {
		if m.From == from && m.To == to && m.Reason == err.Error() {
			return nil // the second visit to the same span
		}
	}
	r.missing = append(r.missing, Missing{From: from, To: to, Records: uint64(s.records), Reason: err.Error()})
	return nil
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
	if r.fetch != nil {
		r.fetch.wait()
	}
	if r.view != nil {
		r.view.release()
	}
	r.db.leave()
	return nil
}
