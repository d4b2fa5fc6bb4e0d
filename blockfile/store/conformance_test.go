package store_test

import (
	"path/filepath"
	"testing"

	"github.com/firndb/firn/blockfile/store"
	"github.com/firndb/firn/blockfile/store/storetest"
)

func TestConformanceMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return store.NewMemory() })
}

func TestConformanceLocal(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return openLocal(t, filepath.Join(t.TempDir(), "not", "yet")) })
}

func TestConformanceCounting(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return store.NewCounting(store.NewMemory()) })
}

func openLocal(t *testing.T, root string) *store.Local {
	t.Helper()
	l, err := store.OpenLocal(root)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
