package schema

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenRecords need every part of the formats: hidden members, own columns, all kinds.
var goldenRecords = []string{
	`{"timestamp":1700000000123,"dataset_id":"u1","table":"battle log","id.orig_h":"10.0.0.1","n":1,"x":0.5,"list":[1,null,"two",[true]],"o":{"a":null,"b":{}}}`,
	`{"timestamp":1700000000123,"dataset_id":"u1","n":null,"x":9007199254740993,"list":[],"o":{"b":{}}}`,
	`{"timestamp":"2023-11-14T22:13:20.123Z","dataset_id":null,"table":"battle log","N":1e400,"list":[{"k":false},{}],"o":{"a":-0,"b":{"c":"\u0000"}}}`,
	`{"n":null,"` + longKey + `":[ 1 , {"deep": "text"} ]}`,
}

var longKey = strings.Repeat("key ", 300)

const goldenDataset = "u1"

// writeGolden writes down all that files may hold of these records, in lines of a word and
// a text or hexadecimal bytes.
func writeGolden(recs []string, fallback bool) ([]byte, error) {
	tree := NewTree(testTable)
	for _, rec := range recs {
		tree.Add(goldenDataset, testTime, []byte(rec))
	}
	if fallback {
		tree.setFallback()
	}
	s := tree.Schema()
	var out bytes.Buffer
	fmt.Fprintf(&out, "tree   %x\nschema %s\nsha256 %x\n", tree.AppendTo(nil), s.Text(), s.Fingerprint())
	e := s.NewEncoder()
	for _, rec := range recs {
		b, err := e.Append(nil, goldenDataset, testTime, []byte(rec))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "record %s\navro   %x\n", rec, b)
	}
	return out.Bytes(), nil
}

// What is on disk must not change: the bytes made of fixed records are fixed, and those
// of a format once released must stay readable.
func TestGolden(t *testing.T) {
	for file, fallback := range map[string]bool{"format1.txt": false, "format1-fallback.txt": true} {
		t.Run(file, func(t *testing.T) {
			path := "testdata/" + file
			made, err := writeGolden(goldenRecords, fallback)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(path, made, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			kept, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(made, kept) {
				t.Errorf("%s differs from what is made now:\n%s", path, made)
			}
			readGolden(t, string(kept))
		})
	}
}

// readGolden reads back what a golden file holds.
func readGolden(t *testing.T, text string) {
	var d *Decoder
	var record string
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		rest = strings.TrimLeft(rest, " ")
		switch word {
		case "tree":
			b, err := hex.DecodeString(rest)
			if err != nil {
				t.Fatal(err)
			}
			tree, err := ParseTree(b)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text, "\nschema "+string(tree.Schema().Text())+"\n") {
				t.Errorf("the tree has another schema: %s", tree.Schema().Text())
			}
		case "schema":
			s, err := Parse([]byte(rest))
			if err != nil {
				t.Fatal(err)
			}
			d = s.NewDecoder()
		case "sha256":
			if sum := d.schema.Fingerprint(); hex.EncodeToString(sum[:]) != rest {
				t.Errorf("fingerprint %x, not %s", sum, rest)
			}
		case "record":
			record = rest
		case "avro":
			b, err := hex.DecodeString(rest)
			if err != nil {
				t.Fatal(err)
			}
			out, n, err := d.AppendJSON(nil, b)
			if err != nil || n != len(b) {
				t.Fatalf("%s: %d of %d bytes, %v", record, n, len(b), err)
			}
			if err := sameJSON([]byte(record), out); err != nil {
				t.Error(err)
			}
		default:
			t.Fatalf("a line that begins with %q", word)
		}
	}
}
