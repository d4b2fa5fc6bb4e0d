package main

import "testing"

func TestRules(t *testing.T) {
	for _, c := range []struct {
		from, to string
		allowed  bool
	}{
		{"wal", "golang.org/x/sys/unix", true},
		{"wal", module + "blockfile", false},
		{"wal", module + "engine", false},
		{"blockfile", module + "blockfile/store", true},
		{"blockfile/schema", module + "wal", false},
		{"blockfile/schema", module + "engine", false},
		{"blockfile/schema", "github.com/hamba/avro/v2", true},
		{"engine", module + "wal", true},
		{"engine", module + "engine/hot", true},
		{"engine", module + "server", false},
		{"engine", "github.com/hamba/avro/v2", false},
		{"engine/hot", "go.etcd.io/bbolt", true},
		{"engine/hot", module + "engine/catalog", false},
		{"server", module + "engine", true},
		{"server", module + "engine/hot", false},
		{"server", module + "wal", false},
		{"server", "go.etcd.io/bbolt/errors", false},
		{"cmd/firn", module + "server", true},
		{"cmd/firn", module + "engine/catalog", false},
		{"cmd/firn", "github.com/spf13/cobra", true},
		{"engine", "github.com/spf13/cobra", false},
		{"bench", "go.etcd.io/bbolt", true},
		{"bench", module + "engine/hot", false},
		{"enginelike", "go.etcd.io/bbolt", false},
		{"engine", "pgregory.net/rapid", false},
	} {
		if r := broke(module+c.from, c.to); (r == nil) != c.allowed {
			t.Errorf("%s importing %s: allowed is %v, should be %v", c.from, c.to, r == nil, c.allowed)
		}
	}
}
