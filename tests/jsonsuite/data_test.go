package jsonsuite

import (
	"os"
	"path/filepath"
	"testing"
)

// suite returns the files of one part of the JSON suite by name; it skips the test when
// they are not at hand.
func suite(tb testing.TB, part string) map[string][]byte {
	tb.Helper()
	root := testData()
	paths, err := filepath.Glob(filepath.Join(root, "json-suite", part, "*.json"))
	if root == "" || err != nil || len(paths) == 0 {
		tb.Skip("no JSON suite: set FIRN_TEST_DATA to the folder that holds json-suite")
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

// testData is the folder of test data, or "".
func testData() string {
	if dir := os.Getenv("FIRN_TEST_DATA"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		data := filepath.Join(dir, "shared", "data")
		if _, err := os.Stat(filepath.Join(data, "json-suite")); err == nil {
			return data
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}
