// Command arrows checks that imports point one way: cmd → server → engine → {wal, blockfile}. It is
// run in the main module's folder and looks at every package there, tests included.
//
// Rules go by import path, not by folder, so it does not matter where the module is checked out.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

const module = "github.com/firndb/firn/"

// A rule forbids the packages under from, except those under but, to import the packages under to.
// Paths without a dot in their first element are of this module.
type rule struct {
	from, but, to []string
	reason        string
}

var rules = []rule{
	{
		from: []string{"wal"}, to: []string{"blockfile", "engine", "server", "cmd"},
		reason: "the log knows bytes, not records: what is in a frame is the engine's business",
	},
	{
		from: []string{"blockfile"}, to: []string{"wal", "engine", "server", "cmd"},
		reason: "block files are read and written without a database: tools and tests need nothing else",
	},
	{
		from: []string{"engine"}, to: []string{"server", "cmd"},
		reason: "the engine is a library of its own; who embeds it gets no HTTP and no flags",
	},
	{
		from: []string{"engine/hot", "engine/storelog"}, to: []string{"wal", "engine/catalog"},
		reason: "a tier knows its own files only; the engine is the one place that knows all of them",
	},
	{
		from: []string{"server"}, to: []string{"wal", "engine/", "cmd"},
		reason: "the server calls the engine's exported interface; around it there is no way to the data",
	},
	{
		from: []string{"cmd"}, to: []string{"wal", "engine/"},
		reason: "commands speak HTTP or call the engine; they have no logic of their own",
	},
	{
		from: []string{"bench"}, to: []string{"wal", "blockfile", "engine/"},
		reason: "what is measured from the outside is what users can call",
	},
	{
		from: []string{""}, but: []string{"engine", "bench"}, to: []string{"go.etcd.io/bbolt"},
		reason: "what lies in bbolt files is known in one place (to bench, plain bbolt is the baseline)",
	},
	{
		from: []string{""}, but: []string{"blockfile"}, to: []string{"github.com/hamba/avro/"},
		reason: "the Avro library is kept for its writer and schema parser, behind bounds that blockfile sets",
	},
	{
		from: []string{""}, but: []string{"server", "cmd", "bench"}, to: []string{"github.com/valyala/fasthttp"},
		reason: "request buffers belong to the HTTP library and must not reach the engine",
	},
	{
		from: []string{""}, but: []string{"cmd"}, to: []string{"github.com/spf13/", "github.com/schollz/", "go.yaml.in/"},
		reason: "flags, progress bars and config files exist in the command line only",
	},
	{
		from:   []string{""},
		to:     []string{"github.com/stretchr/", "pgregory.net/", "github.com/linkedin/", "github.com/twmb/", "github.com/go-json-experiment/", module + "tests", module + "tools"},
		reason: "what only tests need is in the module tests, so that go.mod lists what users run",
	},
}

type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func main() {
	broken, seen, err := check()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "arrows:", err)
		os.Exit(2)
	case seen == 0:
		fmt.Fprintln(os.Stderr, "arrows: no package of", module, "here")
		os.Exit(2)
	case broken > 0:
		os.Exit(1)
	}
}

func check() (broken, seen int, err error) {
	c := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	if err := c.Start(); err != nil {
		return 0, 0, err
	}
	dec := json.NewDecoder(out)
	for {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return broken, seen, c.Wait()
		}
		if err != nil {
			return broken, seen, errors.Join(err, c.Wait())
		}
		if !strings.HasPrefix(p.ImportPath+"/", module) {
			continue
		}
		seen++
		for _, list := range [][]string{p.Imports, p.TestImports, p.XTestImports} {
			for _, to := range list {
				if r := broke(p.ImportPath, to); r != nil {
					broken++
					fmt.Printf("%s must not import %s: %s\n", p.ImportPath, to, r.reason)
				}
			}
		}
	}
}

// broke is the first rule that forbids an import, nil when none does.
func broke(from, to string) *rule {
	for i, r := range rules {
		if under(from, r.from) && !under(from, r.but) && under(to, r.to) {
			return &rules[i]
		}
	}
	return nil
}

// under reports whether a package is one of the roots or below one; a root that ends with a slash
// means only what is below it.
func under(path string, roots []string) bool {
	for _, root := range roots {
		if first, _, _ := strings.Cut(root, "/"); !strings.Contains(first, ".") {
			root = module + root
		}
		if strings.HasPrefix(path+"/", strings.TrimSuffix(root, "/")+"/") && (path != strings.TrimSuffix(root, "/") || !strings.HasSuffix(root, "/")) {
			return true
		}
	}
	return false
}
