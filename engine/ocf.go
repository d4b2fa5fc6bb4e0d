package engine

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/firndb/firn/blockfile"
	"github.com/firndb/firn/blockfile/schema"
)

// WriteOCF gives the whole read as one Avro Object Container File, instead of Next. Blocks of the
// table's newest family that lie wholly inside the read and overlap nothing else are copied byte
// for byte behind one header; the rest, and everything when reading downwards, is decoded, merged
// and encoded again. After an error part of the file may have been written. NextCursor, Counts and
// Missing hold afterwards as with Next.
func (r *Rows) WriteOCF(ctx context.Context, w io.Writer) error {
	if r.err != nil {
		return r.err
	}
	stop := context.AfterFunc(ctx, r.cancel)
	defer stop()
	o, err := r.newOCFWriter(w)
	if err != nil {
		return err
	}
	for !r.done && len(r.pages) > 0 {
		if err := o.page(); err != nil {
			return err
		}
	}
	r.done = true
	if err := o.flush(); err != nil {
		return err
	}
	_, err = o.writer.Close()
	return err
}

// ocfWriter is an answer in the making.
type ocfWriter struct {
	r       *Rows
	writer  *blockfile.Writer
	family  *family
	encoder *schema.Encoder
	block   block
}

func (r *Rows) newOCFWriter(w io.Writer) (*ocfWriter, error) {
	s, codec, err := r.answerSchema()
	if err != nil {
		return nil, err
	}
	fam := newFamily(r.db.info.Salt, r.query.Table, s, codec, 0)
	writer, err := blockfile.NewWriter(w, fam.Family)
	if err != nil {
		return nil, err
	}
	return &ocfWriter{r: r, writer: writer, family: fam, encoder: s.NewEncoder()}, nil
}

// answerSchema is the newest version of the table's schema; the one that the next archive would
// use when there are hot records to give.
func (r *Rows) answerSchema() (*schema.Schema, string, error) {
	codec := r.db.opts.Block.Codec
	state := r.db.tables.get([]byte(r.query.Table))
	if state != nil {
		codec = cmp.Or(state.settings.Load().Codec, codec)
	}
	if h := &r.plan.Hot; state != nil && h.Chunks+h.MemoryRecords > 0 {
		return state.schemaNow(), codec, nil
	}
	snap, err := r.db.cat.View()
	if err != nil {
		return nil, "", err
	}
	defer snap.Close()
	newest, ok, err := snap.Newest(r.query.Table)
	if err != nil {
		return nil, "", err
	}
	if !ok {
		return schema.NewTree(r.query.Table).Schema(), codec, nil
	}
	s, err := schema.Parse(newest.Text)
	return s, codec, err
}

// page writes the records of the next page, cluster by cluster: spans that overlap in time, which
// have to be merged, or one span alone.
func (o *ocfWriter) page() error {
	r := o.r
	p := r.pages[0]
	lists, err := r.takePage()
	if err != nil {
		return err
	}
	clusters := clustersOf(lists, r.query.Descending)
	given := r.hot + r.cold
	for _, c := range clusters {
		if c.splice = o.canSplice(c, &p, given); c.splice {
			c.spans[0].block.splice = true
		}
		for _, s := range c.spans {
			given += uint64(s.records) // at most: a limit may be reached later than this, not earlier
		}
	}
	r.fetch.begin(r.query.Limit, r.skip)
	for _, c := range clusters {
		if r.done {
			return nil
		}
		if c.splice {
			err = o.copy(c.spans[0].span)
		} else {
			err = o.merge(c, max(c.first, p.from), min(c.last, p.to))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cluster is a set of spans that overlap each other and nothing else.
type cluster struct {
	spans       []clusterSpan
	first, last int64
	splice      bool
}

// clusterSpan is a span with the place of its source in the order that decides ties.
type clusterSpan struct {
	*span
	source int
}

// clustersOf cuts the spans of all sources into clusters in reading order.
func clustersOf(lists [][]*span, desc bool) []*cluster {
	var all []clusterSpan
	for i, spans := range lists {
		for _, s := range spans {
			all = append(all, clusterSpan{s, i})
		}
	}
	slices.SortStableFunc(all, func(a, b clusterSpan) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.last, b.last), cmp.Compare(a.source, b.source))
	})
	var clusters []*cluster
	for _, s := range all {
		if n := len(clusters); n == 0 || s.first > clusters[n-1].last {
			clusters = append(clusters, &cluster{first: s.first, last: s.last})
		}
		c := clusters[len(clusters)-1]
		c.spans = append(c.spans, s)
		c.last = max(c.last, s.last)
	}
	if desc {
		slices.Reverse(clusters)
	}
	return clusters
}

// lists gives the spans back by source, in order.
func (c *cluster) lists() [][]*span {
	slices.SortStableFunc(c.spans, func(a, b clusterSpan) int { return cmp.Compare(a.source, b.source) })
	var lists [][]*span
	for i, s := range c.spans {
		if i == 0 || s.source != c.spans[i-1].source {
			lists = append(lists, nil)
		}
		lists[len(lists)-1] = append(lists[len(lists)-1], s.span)
	}
	for _, spans := range lists {
		sortSpans(spans)
	}
	return lists
}

// canSplice tells whether a cluster is one whole block that could have been written for this
// answer, and is not what a limit or a cursor cuts.
func (o *ocfWriter) canSplice(c *cluster, p *page, given uint64) bool {
	q := &o.r.query
	if len(c.spans) != 1 || q.Descending {
		return false
	}
	s := c.spans[0]
	return s.block != nil && s.block.file.family.id == o.family.id &&
		s.first >= p.from && s.last <= p.to &&
		(o.r.skip == 0 || s.first > o.r.resume) &&
		(q.Limit == 0 || given+uint64(s.records) < uint64(q.Limit))
}

// copy gives a block byte for byte.
func (o *ocfWriter) copy(s *span) error {
	if err := o.flush(); err != nil {
		return err
	}
	r, b := o.r, s.block
	err := r.fetch.await(b)
	if err == nil {
		err = b.err
	}
	if err != nil {
		return r.unreadable(s, err)
	}
	_, err = o.writer.AppendStored(b.ref, b.stored)
	if errors.Is(err, blockfile.ErrCorrupt) {
		return r.unreadable(s, &CorruptError{File: b.file.row.Key, Offset: b.ref.Offset, Reason: err.Error()})
	}
	if err != nil {
		return err
	}
	b.stored = nil
	r.cold += uint64(b.ref.Records)
	r.lastTime, r.lastGiven, r.skip = s.last, 0, 0 // what comes next is later: see canSplice
	return nil
}

// merge gives the records of a cluster encoded anew.
func (o *ocfWriter) merge(c *cluster, from, to int64) error {
	r := o.r
	r.mergeSpans(c.lists(), from, to)
	for {
		ok, exhausted := r.step()
		if exhausted {
			return nil
		}
		if !ok {
			return r.err
		}
		if err := o.add(r.record); err != nil {
			r.err = err
			return err
		}
	}
}

// add encodes one record.
func (o *ocfWriter) add(rec Record) error {
	b := &o.block
	if day := blockfile.DayOf(rec.Time); b.records > 0 && day != b.day {
		if err := o.flush(); err != nil {
			return err
		}
	}
	raw, err := o.encoder.Append(b.raw, o.r.query.Dataset, rec.Time, rec.JSON)
	if err != nil {
		return err
	}
	if before := len(b.raw); b.records > 0 && len(raw) > o.r.db.opts.Block.TargetBytes {
		// The record that would pass the target begins the next block: alone it always fits.
		tail := slices.Clone(raw[before:])
		b.raw = raw[:before]
		if err := o.flush(); err != nil {
			return err
		}
		raw = append(b.raw, tail...)
	}
	if b.records == 0 {
		b.day, b.first, b.last = blockfile.DayOf(rec.Time), rec.Time, rec.Time
	}
	b.raw = raw
	b.first, b.last = min(b.first, rec.Time), max(b.last, rec.Time)
	b.records++
	return nil
}

func (o *ocfWriter) flush() error {
	b := &o.block
	if b.records == 0 {
		return nil
	}
	_, err := o.writer.Append(o.r.query.Dataset, b.day, b.raw, b.records, b.first, b.last)
	b.raw, b.records = b.raw[:0], 0
	return err
}
