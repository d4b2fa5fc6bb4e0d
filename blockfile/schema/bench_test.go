package schema

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/firndb/firn/blockfile/jsonscan"
)

// workload is records of one table with what was made of them.
type workload struct {
	name   string
	recs   []stored
	schema *Schema
	tree   *Tree
	avro   [][]byte
	bytes  int64
}

func newWorkload(b *testing.B, name string, recs []stored) *workload {
	w := &workload{name: name, recs: recs, tree: NewTree(recs[0].table)}
	for _, s := range recs {
		w.tree.Add(s.dataset, s.time, s.rec)
		w.bytes += int64(len(s.rec))
	}
	w.schema = w.tree.Schema()
	e := w.schema.NewEncoder()
	for _, s := range recs {
		out, err := e.Append(nil, s.dataset, s.time, s.rec)
		if err != nil {
			b.Fatal(err)
		}
		w.avro = append(w.avro, out)
	}
	return w
}

// logRecords are records of about 250 bytes and 10 members.
func logRecords() []stored {
	var recs []stored
	for i := range 1000 {
		s := stored{dataset: fmt.Sprintf("host-%d", i%7), table: "logs", time: 1700000000000 + int64(i)}
		s.rec = fmt.Appendf(nil, `{"timestamp":%d,"level":"info","service":"checkout","message":"payment for order %d accepted by the gateway",`+
			`"latency_ms":%d.%d,"status":200,"bytes":%d,"trace_id":"%016x","path":"/api/v1/orders/%d","retry":false}`,
			s.time, i*7919, i%90, i%10, i*31, uint64(i)*0x9E3779B97F4A7C15, i)
		recs = append(recs, s)
	}
	return recs
}

func workloads(b *testing.B) []*workload {
	all := []*workload{newWorkload(b, "log250", logRecords())}
	dir := findData()
	for _, file := range []string{"logs/apache-access", "battle-rows/ship", "events/zeek-dns", "events/github"} {
		if dir == "" {
			break
		}
		var recs []stored
		readRecords(b, filepath.Join(dir, file+".ndjson.gz"), func(s stored) {
			if len(recs) < 2000 && (len(recs) == 0 || s.table == recs[0].table) {
				recs = append(recs, s)
			}
		})
		all = append(all, newWorkload(b, filepath.Base(file), recs))
	}
	return all
}

func BenchmarkEncode(b *testing.B) {
	for _, w := range workloads(b) {
		b.Run(w.name, func(b *testing.B) {
			e := w.schema.NewEncoder()
			var out []byte
			b.SetBytes(w.bytes / int64(len(w.recs)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s := &w.recs[i%len(w.recs)]
				var err error
				if out, err = e.Append(out[:0], s.dataset, s.time, s.rec); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, w := range workloads(b) {
		b.Run(w.name, func(b *testing.B) {
			d := w.schema.NewDecoder()
			var out []byte
			b.SetBytes(w.bytes / int64(len(w.recs)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				var err error
				if out, _, err = d.AppendJSON(out[:0], w.avro[i%len(w.avro)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSkip(b *testing.B) {
	for _, w := range workloads(b) {
		b.Run(w.name, func(b *testing.B) {
			d := w.schema.NewDecoder()
			b.SetBytes(w.bytes / int64(len(w.recs)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := d.Skip(w.avro[i%len(w.avro)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Adding a record of which nothing is new.
func BenchmarkAdd(b *testing.B) {
	for _, w := range workloads(b) {
		b.Run(w.name, func(b *testing.B) {
			b.SetBytes(w.bytes / int64(len(w.recs)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s := &w.recs[i%len(w.recs)]
				if w.tree.Add(s.dataset, s.time, s.rec) {
					b.Fatal("the tree changed")
				}
			}
		})
	}
}

func BenchmarkOwnShape(b *testing.B) {
	recs := logRecords()
	scan := jsonscan.NewScanner(jsonscan.Options{})
	found, err := scan.Record(recs[0].rec)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		d, t, ts := CompareOwn(found, recs[0].rec, "host-0", "logs", recs[0].time)
		if OwnShape(found.Shape, d, t, ts) == 0 {
			b.Fatal("zero")
		}
	}
}
