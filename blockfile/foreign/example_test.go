package foreign_test

import (
	"bytes"
	"fmt"
	"io"

	"github.com/firndb/firn/blockfile/container"
	"github.com/firndb/firn/blockfile/foreign"
)

func ExampleReader() {
	schema := `{"type":"record","name":"Hit","fields":[
		{"name":"at","type":{"type":"int","logicalType":"date"}},
		{"name":"points","type":["null","int"]}]}`
	var sync [container.SyncSize]byte
	file := container.AppendHeader(nil, []container.Meta{{Key: container.SchemaKey, Value: []byte(schema)}}, sync)
	file = container.AppendBlock(file, 2, []byte{0x8C, 0xB5, 0x02, 0x02, 0x0E, 0x8E, 0xB5, 0x02, 0x00}, sync)

	r, err := foreign.NewReader(bytes.NewReader(file), foreign.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		rec, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(string(rec))
	}
	// Output:
	// {"at":"2024-02-29","points":7}
	// {"at":"2024-03-01","points":null}
}
