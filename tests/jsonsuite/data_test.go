package jsonsuite

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/firndb/firn/tests/harness"
)

// suite returns the files of one part of the JSON suite by name; it skips the test when
// they are not at hand.
func suite(tb testing.TB, part string) map[string][]byte {
	tb.Helper()
	root := harness.Data(tb)
	paths, err := filepath.Glob(filepath.Join(root, "json-suite", part, "*.json"))
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no JSON suite in %s (%v)", root, err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		files[filepath.Base(path)] = b
	}
	return files
}
