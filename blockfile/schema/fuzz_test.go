package schema

import (
	"testing"

	"github.com/firndb/firn/blockfile/jsonscan"
)

// FuzzRecord takes two records through a tree, its schema, encoder and decoder.
func FuzzRecord(f *testing.F) {
	for i, rec := range goldenRecords {
		f.Add([]byte(rec), []byte(goldenRecords[(i+1)%len(goldenRecords)]))
	}
	g := newGenerator(1)
	for range 50 {
		f.Add(g.record(testDataset, testTable, testTime), g.record(testDataset, testTable, testTime))
	}
	scan := jsonscan.NewScanner(jsonscan.Options{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		tree := NewTree(testTable)
		for _, rec := range [][]byte{first, second} {
			_, err := scan.Record(rec)
			tree.Clone().Add(testDataset, testTime, rec)
			if err != nil {
				s := tree.Schema()
				if b, err := s.NewEncoder().Append(nil, testDataset, testTime, rec); err == nil {
					tryDecode(t, s.NewDecoder(), b)
				}
				return
			}
			tree.Add(testDataset, testTime, rec)
			if tree.Add(testDataset, testTime, rec) {
				t.Fatalf("adding a second time changed the tree: %s", rec)
			}
		}
		s := tree.Schema()
		if s.Fallback() != tree.fallback {
			t.Fatalf("a tree without schema: %s", tree.appendText(nil))
		}
		e, d := s.NewEncoder(), s.NewDecoder()
		for _, rec := range [][]byte{first, second, first} {
			if err := checkRecord(s, e, d, testDataset, testTime, rec); err != nil {
				t.Fatalf("%v\n%s", err, s.Text())
			}
		}
	})
}

// FuzzDecode decodes any bytes with a rich schema and with the fallback.
func FuzzDecode(f *testing.F) {
	schemas, records := goldenSchemas(f)
	for _, recs := range records {
		for _, b := range recs {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, s := range schemas {
			_ = tryDecode(t, s.NewDecoder(), b)
		}
	})
}

// FuzzParse reads any text as schema, and uses what it accepts.
func FuzzParse(f *testing.F) {
	schemas, records := goldenSchemas(f)
	for _, s := range schemas {
		f.Add(s.Text())
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		d, e := s.NewDecoder(), s.NewEncoder()
		for i, recs := range records {
			for k, b := range recs {
				_ = tryDecode(t, d, b)
				if i > 0 {
					continue
				}
				if b, err := e.Append(nil, goldenDataset, testTime, []byte(goldenRecords[k])); err == nil {
					if err := tryDecode(t, d, b); err != nil {
						t.Fatalf("%v: encoded with %s", err, text)
					}
				}
			}
		}
	})
}

// FuzzTree reads any bytes as tree, and uses what it accepts.
func FuzzTree(f *testing.F) {
	tree := NewTree(testTable)
	f.Add(tree.AppendTo(nil))
	for _, rec := range goldenRecords {
		tree.Add(goldenDataset, testTime, []byte(rec))
		f.Add(tree.AppendTo(nil))
	}
	tree.setFallback()
	f.Add(tree.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) { tryTree(t, b) })
}
