package engine

import (
	"errors"
	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/engine/catalog"
	"github.com/firndb/firn/engine/hot"
	"slices"
)

// pageBlocks is how many block references a read holds at a time: about 1 MB of them. A longer
// read goes page by page; a page is a range of whole days.
const pageBlocks = 8192

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
		if err = hotDamage(err); errors.Is(err, ErrCorrupt) && r.query.AllowPartial {
			// Chunks are missing altogether: what they held is anywhere in the range.
			r.leaveOut(Missing{From: from, To: to, Reason: err.Error()})
			err = nil
		}
		if err != nil {
			return err
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
