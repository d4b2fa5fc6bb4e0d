package views

import (
	"flag"
	"os"
	"testing"
)

// TestMain runs fewer histories than rapid would by itself: each one syncs a disk some hundred
// times. More: go test ./views -rapid.checks=1000.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "25"); err != nil {
		panic(err)
	}
	flag.Parse() // the command line has the last word
	os.Exit(m.Run())
}
