package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// resolved is what settings of the daemon become from a command line.
func resolved(t *testing.T, args ...string) (*settings, error) {
	t.Helper()
	s := newSettings()
	f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	s.addGlobal(f)
	s.addServe(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return s, s.resolve(f)
}

func TestPrecedence(t *testing.T) {
	file := write(t, "firn.yaml", "hot-limit: 3GiB\nlisten: 127.0.0.1:3\nsync: interval\nsync-interval: 1s\nhosts: [a.example, b.example]\naddr: http://127.0.0.1:9\n")
	t.Setenv("FIRN_HOT_LIMIT", "2GiB")
	t.Setenv("FIRN_LISTEN", "127.0.0.1:2")
	t.Setenv("FIRN_CONFIG", file)
	s, err := resolved(t, "--hot-limit", "1GiB")
	if err != nil {
		t.Fatal(err)
	}
	if s.hotLimit != 1<<30 {
		t.Errorf("hot-limit is %d: the command line must win", s.hotLimit)
	}
	if s.listen != "127.0.0.1:2" {
		t.Errorf("listen is %s: the variable must win over the file", s.listen)
	}
	if s.sync != "interval" || s.interval != time.Second {
		t.Errorf("sync is %s, %v: the file must win over the default", s.sync, s.interval)
	}
	if strings.Join(s.hosts, " ") != "a.example b.example" {
		t.Errorf("hosts are %q", s.hosts)
	}
	if s.data != defaultData || s.memoryAge != time.Minute {
		t.Errorf("data is %q, memory-age %v: not the defaults", s.data, s.memoryAge)
	}
	o, err := s.engineOptions()
	if err != nil {
		t.Fatal(err)
	}
	if o.Hot.LimitBytes != 1<<30 || o.WAL.Interval != time.Second {
		t.Errorf("the engine gets hot limit %d, interval %v", o.Hot.LimitBytes, o.WAL.Interval)
	}
}

func TestConfigRefusals(t *testing.T) {
	for name, c := range map[string]struct{ content, names string }{
		"unknown":  {"hotlimit: 1GiB\n", "hotlimit"},
		"nested":   {"hot: {limit: 1GiB}\n", "hot"},
		"no YAML":  {"hot-limit: [\n", "yaml"},
		"twice":    {"data: a\ndata: b\n", "data"},
		"bad size": {"hot-limit: -1\n", "-1"},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, "firn.yaml", c.content)
			_, err := resolved(t, "--config", file)
			var usage usageError
			if !errors.As(err, &usage) {
				t.Fatalf("error is %v, want wrong use", err)
			}
			contains(t, "the message", err.Error(), file, c.names)
		})
	}
	t.Setenv("FIRN_MEMORY_AGE", "old")
	if _, err := resolved(t); err == nil || !strings.Contains(err.Error(), "FIRN_MEMORY_AGE") {
		t.Errorf("a bad variable: %v", err)
	}
}

// Whom to ask is one setting in two flags.
func TestWhomToAsk(t *testing.T) {
	ask := func(args ...string) *settings {
		t.Helper()
		s := newSettings()
		f := pflag.NewFlagSet("read", pflag.ContinueOnError)
		s.addGlobal(f)
		s.addClient(f)
		if err := f.Parse(args); err != nil {
			t.Fatal(err)
		}
		if err := s.resolve(f); err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Setenv("FIRN_DATA", "folder")
	if s := ask(); s.data != "folder" || !s.given["data"] {
		t.Errorf("FIRN_DATA alone: data %q", s.data)
	}
	if s := ask("--addr", "127.0.0.1:1"); s.given["data"] {
		t.Error("--addr does not win over FIRN_DATA")
	}
	t.Setenv("FIRN_DATA", "")
	t.Setenv("FIRN_ADDR", "127.0.0.1:2")
	if s := ask("--data", "x"); s.given["addr"] || s.data != "x" {
		t.Error("--data does not win over FIRN_ADDR")
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]bytesValue{"0": 0, "17": 17, "17B": 17, "64MiB": 64 << 20, "8 GiB": 8 << 30, "1kB": 1000, "2TB": 2e12} {
		var v bytesValue
		if err := v.Set(text); err != nil || v != want {
			t.Errorf("%q is %d, %v; want %d", text, v, err, want)
		}
		var again bytesValue
		if err := again.Set(v.String()); err != nil || again != v {
			t.Errorf("%d printed as %q is read as %d, %v", v, v.String(), again, err)
		}
	}
	for _, text := range []string{"", "B", "-1", "1.5GiB", "1PiB", "9223372036854775807", "1e3", "5000000000TiB"} {
		var v bytesValue
		if err := v.Set(text); err == nil {
			t.Errorf("%q is taken as %d", text, v)
		}
	}
}
