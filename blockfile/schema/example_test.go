package schema_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/firndb/firn/blockfile/schema"
)

// One record on its way into a block file and back.
func ExampleTree() {
	tree := schema.NewTree("battle")
	records := []string{
		`{"timestamp":1700000000000,"id.orig_h":"10.0.0.1","damage":[12,7]}`,
		`{"timestamp":1700000000500,"id.orig_h":"10.0.0.2","damage":[],"note":null}`,
	}
	for i, rec := range records {
		changed := tree.Add("user1", 1700000000000+int64(i)*500, []byte(rec))
		fmt.Println("version", tree.Version(), changed)
	}
	s := tree.Schema()
	fmt.Println(string(s.Text()))

	encoder, decoder := s.NewEncoder(), s.NewDecoder()
	var block []byte
	for i, rec := range records {
		var err error
		if block, err = encoder.Append(block, "user1", 1700000000000+int64(i)*500, []byte(rec)); err != nil {
			fmt.Println(err)
		}
	}
	for len(block) > 0 {
		rec, n, err := decoder.AppendJSON(nil, block)
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(n, string(rec))
		block = block[n:]
	}
	// Output:
	// version 1 true
	// version 2 true
	// {"type":"record","name":"battle","namespace":"firn","firn.format":1,"firn.table":"battle","firn.version":2,"fields":[{"name":"dataset_id","type":"string"},{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"},"firn.own":"same"},{"name":"_firn","type":["null",{"type":"array","items":"int"}],"default":null},{"name":"id_orig_h","type":"string","firn.key":"id.orig_h"},{"name":"damage","type":{"type":"array","items":"long"}},{"name":"note","type":"null","default":null}]}
	// 26 {"timestamp":1700000000000,"id.orig_h":"10.0.0.1","damage":[12,7]}
	// 26 {"timestamp":1700000000500,"id.orig_h":"10.0.0.2","damage":[],"note":null}
}

// A Schema is shared; encoders and decoders are not.
func TestSharedSchema(t *testing.T) {
	tree := schema.NewTree("battle")
	rec := []byte(`{"timestamp":5,"b":{"c":[1,{"d":null}]},"a":"x"}`)
	tree.Add("u", 5, rec)
	s := tree.Schema()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			e, d := s.NewEncoder(), s.NewDecoder()
			for range 200 {
				b, err := e.Append(nil, "u", 5, rec)
				if err != nil {
					t.Error(err)
					return
				}
				if out, n, err := d.AppendJSON(nil, b); err != nil || n != len(b) || string(out) != string(rec) {
					t.Errorf("%s %d %v", out, n, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
