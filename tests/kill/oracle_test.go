package kill

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firndb/firn/tests/harness"
)

// fate is what is known of a batch.
type fate int

const (
	unknown fate = iota // sent, no answer yet, or the connection broke
	kept                // acknowledged, or found whole
	absent              // refused, or not found by a later process
)

type series struct{ table, dataset string }

// record is what was sent.
type record struct {
	id     string
	time   int64
	text   string
	series series
	batch  *batch
	index  int
}

type batch struct {
	path, contentType, key string
	body                   string
	records                []*record
	fate                   fate // belongs to oracle.mu
}

// oracle remembers what was sent and what became of it.
type oracle struct {
	mu      sync.Mutex
	batches []*batch
	open    []*batch // of unknown fate
	records map[string]*record
	kept    map[series]int // records of batches that are kept
	order   map[series][]string
	settled int // batches whose fate only a later process could tell
	found   int // of these, those that were kept
}

func newOracle() *oracle {
	return &oracle{records: make(map[string]*record), kept: make(map[series]int), order: make(map[series][]string)}
}

var (
	tables   = []string{"battle", "logs", "a/../b"}
	datasets = []string{"u1", "u2", "ü/..", "u4"}
)

const idBytes = 9

// generate makes a batch: lines of one dataset, or envelopes of several tables and datasets, which
// are kept together or not at all. Its records count as sent from then on.
func (o *oracle) generate(r *rand.Rand) *batch {
	b := &batch{}
	if r.IntN(2) == 0 {
		b.key = fmt.Sprintf("key-%016x", r.Uint64())
	}
	groups := 1
	envelopes := r.IntN(3) == 0
	if envelopes {
		groups = 1 + r.IntN(4)
	}
	used := make(map[series]bool)
	var body strings.Builder
	o.mu.Lock()
	defer o.mu.Unlock()
	for g := range groups {
		s := series{tables[r.IntN(len(tables))], datasets[r.IntN(len(datasets))]}
		if used[s] {
			continue
		}
		used[s] = true
		n := 1 + r.IntN(20)
		lines := make([]string, n)
		for i := range lines {
			rec := o.record(r, s)
			rec.batch, rec.index = b, len(b.records)
			b.records = append(b.records, rec)
			lines[i] = rec.text
		}
		if !envelopes {
			b.path, b.contentType = "/v1/ingest?"+strings.TrimPrefix(readPath(s.table, s.dataset), "/v1/read?"), ndjson
			b.path = strings.Replace(b.path, "&format=ndjson", "", 1)
			body.WriteString(strings.Join(lines, "\n"))
			continue
		}
		if g > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"dataset_id":%q,"table":%q,"records":[%s]}`, s.dataset, s.table, strings.Join(lines, ","))
	}
	b.body = body.String()
	if envelopes {
		b.path, b.contentType, b.body = "/v1/ingest", "application/json", "["+b.body+"]"
	}
	o.batches = append(o.batches, b)
	o.open = append(o.open, b)
	return b
}

// record makes a record of its own. Few moments, so that many share one; many shapes, so that
// schemas widen all the time; sizes up to some kilobytes.
func (o *oracle) record(r *rand.Rand, s series) *record {
	rec := &record{id: fmt.Sprintf("r%08d", len(o.records)), series: s}
	rec.time = 1_700_000_000_000 + r.Int64N(5)*40_000_000 + r.Int64N(50)
	stamp := fmt.Sprint(rec.time)
	if r.IntN(8) == 0 {
		stamp = time.UnixMilli(rec.time).UTC().Format(`"2006-01-02T15:04:05.000Z"`)
	}
	size := r.IntN(200)
	if r.IntN(30) == 0 {
		size = r.IntN(4000)
	}
	pad := make([]byte, size)
	for i := range pad {
		pad[i] = byte('a' + r.IntN(26))
	}
	value := [...]string{"1", "-7.5", "null", `"x"`, "true", `[1,"a",null]`, `{"in":{"deep":1e3}}`, "12345678901234567890"}[r.IntN(8)]
	rec.text = fmt.Sprintf(`{"timestamp":%s,"id":%q,"f%d":%s,"pad":"%s"}`, stamp, rec.id, r.IntN(12), value, pad)
	o.records[rec.id] = rec
	return rec
}

// send sends a batch, writes down what became of it, and returns the status; 0: the connection broke.
func (o *oracle) send(t testing.TB, p *process, b *batch) int {
	header := http.Header{"Content-Type": {b.contentType}}
	if b.key != "" {
		header.Set("Idempotency-Key", b.key)
	}
	status, answer, err := p.do("POST", b.path, header, []byte(b.body))
	if err != nil {
		return 0
	}
	switch status {
	case http.StatusOK:
		if n, duplicate, err := ack(answer); err != nil || duplicate || n != len(b.records) {
			t.Errorf("a batch of %d records was answered %s", len(b.records), answer)
		}
		o.decide(b, kept)
	case http.StatusServiceUnavailable, http.StatusInsufficientStorage: // the archive cannot keep up, the process is about to end, the disk is full
		o.decide(b, absent)
	default:
		t.Errorf("ingest: %d %s", status, answer)
	}
	return status
}

func ack(answer []byte) (int, bool, error) {
	var a struct {
		Accepted  int
		Duplicate bool
	}
	err := json.Unmarshal(answer, &a)
	return a.Accepted, a.Duplicate, err
}

func (o *oracle) decide(b *batch, f fate) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.decideLocked(b, f)
}

func (o *oracle) decideLocked(b *batch, f fate) {
	b.fate = f
	if f == kept {
		for _, r := range b.records {
			o.kept[r.series]++
		}
	}
}

// look holds what a read gave against what is known. Every record must be one that was sent, to
// this series, unchanged, once, and in order.
func (o *oracle) look(t testing.TB, when string, s series, lines []string) map[string]bool {
	t.Helper()
	seen := make(map[string]bool, len(lines))
	var last *record
	for i, line := range lines {
		_, rest, _ := strings.Cut(line, `"id":"`)
		o.mu.Lock()
		r := o.records[rest[:min(idBytes, len(rest))]]
		o.mu.Unlock()
		if r == nil || r.series != s {
			t.Errorf("%s: %v[%d] was never sent there: %.200s", when, s, i, line)
			continue
		}
		if seen[r.id] {
			t.Errorf("%s: %v: %s twice", when, s, r.id)
		}
		seen[r.id] = true
		if diff := harness.EqualJSON([]byte(line), []byte(r.text)); diff != "" {
			t.Errorf("%s: %v: %s: %s", when, s, r.id, diff)
		}
		if last != nil && (last.time > r.time || last.time == r.time && last.batch == r.batch && last.index > r.index) {
			t.Errorf("%s: %v: %s before %s", when, s, last.id, r.id)
		}
		last = r
	}
	return seen
}

// check demands that the process is ready, compares everything that can be read with everything that
// is known, settles the batches of unknown fate, and demands a balanced ledger.
func (o *oracle) check(t testing.TB, when string, p *process) {
	t.Helper()
	p.want(t, 200, "GET", "/readyz", "", "")
	// A client that was told nothing tries again under its key.
	for _, b := range o.compare(t, when, p) {
		o.repeat(t, when, p, b)
	}
}

// compare is check for a process that need not take records. It returns the batches whose fate was
// unknown before.
func (o *oracle) compare(t testing.TB, when string, p *process) []*batch {
	t.Helper()
	present := make(map[string]bool)
	read := make(map[string]int)
	for _, table := range tables {
		for _, dataset := range datasets {
			s := series{table, dataset}
			lines := p.read(t, table, dataset)
			seen := o.look(t, when, s, lines)
			read[table] += len(lines)
			var order []string
			for _, line := range lines {
				_, rest, _ := strings.Cut(line, `"id":"`)
				order = append(order, rest[:min(idBytes, len(rest))])
			}
			// What was there before stands in the order it stood in.
			var old []string
			before := make(map[string]bool, len(o.order[s]))
			for _, id := range o.order[s] {
				before[id] = true
			}
			for _, id := range order {
				if before[id] {
					old = append(old, id)
				}
			}
			if !slices.Equal(old, o.order[s]) {
				t.Errorf("%s: %v: records changed their order, or some are gone", when, s)
			}
			o.order[s] = order
			for id := range seen {
				present[id] = true
			}
		}
	}
	o.mu.Lock()
	open := o.open
	o.open = nil
	for _, b := range o.batches {
		n := 0
		for _, r := range b.records {
			if present[r.id] {
				n++
			}
		}
		switch {
		case b.fate == kept && n != len(b.records):
			t.Errorf("%s: %d of the %d records of an acknowledged batch are there, from %s on", when, n, len(b.records), b.records[0].id)
		case b.fate == absent && n > 0:
			t.Errorf("%s: %d records of a refused or lost batch are there, from %s on", when, n, b.records[0].id)
		case b.fate == unknown && n > 0 && n < len(b.records):
			t.Errorf("%s: a batch is there in part: %d of %d records, from %s on", when, n, len(b.records), b.records[0].id)
		case b.fate == unknown:
			o.settled++
			if n > 0 {
				o.found++
				o.decideLocked(b, kept)
			} else {
				o.decideLocked(b, absent)
			}
		}
	}
	o.mu.Unlock()
	for table, c := range p.ledger(t) {
		if c.Lost != 0 || c.Accepted != read[table] {
			t.Errorf("%s: %s: %d records can be read, the ledger says %+v", when, table, read[table], c)
		}
	}
	return open
}

// repeat sends a batch under the key it had. It is there once from then on.
func (o *oracle) repeat(t testing.TB, when string, p *process, b *batch) {
	t.Helper()
	if b.key == "" {
		return
	}
	status, answer, err := p.do("POST", b.path, http.Header{"Content-Type": {b.contentType}, "Idempotency-Key": {b.key}}, []byte(b.body))
	if err != nil || status != http.StatusOK {
		t.Errorf("%s: repeat under a key: %d %s, %v", when, status, answer, err)
		return
	}
	n, duplicate, err := ack(answer)
	if err != nil || n != len(b.records) || duplicate != (b.fate == kept) {
		t.Errorf("%s: repeat under a key of a batch of %d records (fate %d): %s, %v", when, len(b.records), b.fate, answer, err)
	}
	if b.fate != kept {
		o.decide(b, kept)
	}
}

// keptKeyed gives some acknowledged batches with keys.
func (o *oracle) keptKeyed(r *rand.Rand, n int) (list []*batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for range 20 * n {
		if len(o.batches) == 0 || len(list) == n {
			return list
		}
		if b := o.batches[r.IntN(len(o.batches))]; b.fate == kept && b.key != "" {
			list = append(list, b)
		}
	}
	return list
}

// counted says how many records are kept.
func (o *oracle) counted() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, k := range o.kept {
		n += k
	}
	return n
}
