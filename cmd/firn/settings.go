package main

import (
	"fmt"
	"log/slog"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/firndb/firn/engine"
	"github.com/firndb/firn/server"
)

// settings are what flags, FIRN_* variables and the config file say, in this order of precedence:
// the flag --hot-limit, the variable FIRN_HOT_LIMIT and the key hot-limit are one setting.
type settings struct {
	config string
	json   bool
	data   string
	addr   string

	listen   string
	hosts    []string
	store    string
	schedule string
	maxAge   time.Duration
	sync     string
	interval time.Duration
	codec    string
	logLevel string

	segment, hotLimit, memory, generation, blockTarget, fileSize bytesValue
	cacheRefs, cacheBlocks, cacheRaw                             bytesValue
	maxBody, maxRecord                                           bytesValue
	memoryAge, idempotencyTTL                                    time.Duration

	given map[string]bool // settings that somebody set
}

func newSettings() *settings { return &settings{given: make(map[string]bool)} }

// defaults that are not the engine's.
const (
	defaultData = "./firn-data"
	defaultAddr = "http://" + server.DefaultListen
)

// addGlobal adds the flags that every command has.
func (s *settings) addGlobal(f *pflag.FlagSet) {
	f.StringVar(&s.config, "config", "", "YAML file with settings, by the names of the flags")
	f.BoolVar(&s.json, "json", false, "print JSON for programs")
}

// addClient adds the flags of commands that ask a daemon or a data folder.
func (s *settings) addClient(f *pflag.FlagSet) {
	f.StringVar(&s.addr, "addr", defaultAddr, "address of the daemon")
	f.StringVar(&s.data, "data", "", "data folder to open instead, when no daemon runs on it")
	s.addEngine(f)
}

// addEngine adds the flags that say how a data folder is opened.
func (s *settings) addEngine(f *pflag.FlagSet) {
	o := engine.Options{}.Defaults()
	f.StringVar(&s.store, "store", "", "where block files live: file:///folder (default <data>/store)")
	f.StringVar(&s.schedule, "archive-schedule", o.Archive.Schedule, "when to archive: cron expression in UTC, or off")
	f.DurationVar(&s.maxAge, "archive-max-age", 0, "archive when the oldest hot record is so old; 0: no such trigger")
	f.StringVar(&s.sync, "sync", "always", "when to sync the log: always (before each acknowledgement) or interval")
	f.DurationVar(&s.interval, "sync-interval", 200*time.Millisecond, "time between syncs with --sync interval")
	f.StringVar(&s.codec, "codec", o.Block.Codec, "codec of tables without a setting: deflate, zstandard, snappy, null")
	f.DurationVar(&s.memoryAge, "memory-age", o.Hot.MemoryAge, "age at which a memory table is applied")
	f.DurationVar(&s.idempotencyTTL, "idempotency-ttl", o.IdempotencyTTL, "how long idempotency keys are kept")
	size := func(v *bytesValue, name string, def int64, usage string) {
		*v = bytesValue(def)
		f.Var(v, name, usage)
	}
	size(&s.segment, "segment-size", o.WAL.SegmentBytes, "size of the log's files; writing needs room for one more")
	size(&s.hotLimit, "hot-limit", o.Hot.LimitBytes, "hot bytes past which ingest answers 503")
	size(&s.memory, "memory", o.Hot.MemoryBytes, "size at which a memory table is applied")
	size(&s.generation, "generation-size", o.Hot.GenerationBytes, "size at which a generation is archived; at most a quarter of --hot-limit counts")
	size(&s.blockTarget, "block-size", int64(o.Block.TargetBytes), "uncompressed size of a block")
	size(&s.fileSize, "file-size", o.Block.FileBytes, "size at which the next block file is begun")
	size(&s.cacheRefs, "cache-references", o.Cache.ReferenceBytes, "cache of block references; 0: off")
	size(&s.cacheBlocks, "cache-blocks", o.Cache.BlockBytes, "cache of compressed blocks; 0: off")
	size(&s.cacheRaw, "cache-raw", o.Cache.RawBytes, "cache of decoded blocks; 0: off")
	size(&s.maxBody, "max-body", int64(o.Limits.BatchBytes), "largest request body, decompressed")
	size(&s.maxRecord, "max-record", int64(o.Limits.RecordBytes), "largest record")
}

// addServe adds the flags of the daemon.
func (s *settings) addServe(f *pflag.FlagSet) {
	f.StringVar(&s.data, "data", defaultData, "data folder")
	f.StringVar(&s.listen, "listen", server.DefaultListen, "address to listen on")
	f.StringSliceVar(&s.hosts, "hosts", nil, "names, beside loopback, that requests may call the server by")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	s.addEngine(f)
}

// resolve fills in from the environment and the config file what the command line left open.
func (s *settings) resolve(flags *pflag.FlagSet) error {
	set := func(name, value, source string) error {
		if err := flags.Set(name, value); err != nil {
			return usagef("%s: %v", source, err)
		}
		s.given[name] = true
		return nil
	}
	// The commands share these variables, and each wrote its own default when its flags were made.
	if f := flags.Lookup("data"); f != nil && !f.Changed {
		s.data = f.DefValue
	}
	flags.Visit(func(f *pflag.Flag) { s.given[f.Name] = true })
	// Whom to ask is one setting in two flags: one of them on the command line settles it.
	addr, data := s.given["addr"], s.given["data"]
	variables := make(map[string]string)
	for _, kv := range os.Environ() {
		if k, v, _ := strings.Cut(kv, "="); strings.HasPrefix(k, "FIRN_") && v != "" {
			variables[k] = v
		}
	}
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "FIRN_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if f.Name == "data" && addr || f.Name == "addr" && data {
			return
		}
		if v, ok := variables[name]; ok && !s.given[f.Name] && err == nil {
			err = set(f.Name, v, name)
		}
	})
	addr, data = s.given["addr"], s.given["data"]
	if err != nil || s.config == "" {
		return err
	}
	values, err := readConfig(s.config)
	if err != nil {
		return usageError{err}
	}
	for _, name := range sortedKeys(values) {
		if !known[name] {
			return usagef("%s: unknown setting %q", s.config, name)
		}
		// One file serves every command: what this one does not have is not for it.
		if flags.Lookup(name) == nil || s.given[name] || name == "data" && addr || name == "addr" && data {
			continue
		}
		if err := set(name, values[name], s.config); err != nil {
			return err
		}
	}
	return nil
}

// known are the names a config file may use.
var known = func() map[string]bool {
	names := make(map[string]bool)
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	s := newSettings()
	s.addServe(f)
	f.StringVar(&s.addr, "addr", "", "")
	f.BoolVar(&s.json, "json", false, "")
	f.VisitAll(func(f *pflag.Flag) { names[f.Name] = true })
	return names
}()

// readConfig reads a YAML file of one level: setting and value.
func readConfig(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var raw map[string]yaml.Node
	if err := yaml.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	values := make(map[string]string, len(raw))
	for name, node := range raw {
		switch node.Kind {
		case yaml.ScalarNode:
			values[name] = node.Value
		case yaml.SequenceNode:
			var list []string
			if err := node.Decode(&list); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", path, name, err)
			}
			values[name] = strings.Join(list, ",")
		default:
			return nil, fmt.Errorf("%s: %s is neither a value nor a list", path, name)
		}
	}
	return values, nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// engineOptions are the settings as the engine takes them.
func (s *settings) engineOptions() (engine.Options, error) {
	o := engine.Options{
		Store:          s.store,
		WAL:            engine.WALOptions{SegmentBytes: int64(s.segment)},
		Hot:            engine.HotOptions{LimitBytes: int64(s.hotLimit), MemoryBytes: int64(s.memory), MemoryAge: s.memoryAge, GenerationBytes: int64(s.generation)},
		Block:          engine.BlockOptions{TargetBytes: int(s.blockTarget), FileBytes: int64(s.fileSize), Codec: s.codec},
		Archive:        engine.ArchiveOptions{Schedule: s.schedule, MaxAge: s.maxAge},
		Limits:         engine.LimitOptions{RecordBytes: int(s.maxRecord), BatchBytes: int(s.maxBody)},
		IdempotencyTTL: s.idempotencyTTL,
	}
	// The engine takes zero for the default; who writes 0 here wants none.
	o.Cache = engine.CacheOptions{ReferenceBytes: s.cacheRefs.orOff(), BlockBytes: s.cacheBlocks.orOff(), RawBytes: s.cacheRaw.orOff()}
	switch s.sync {
	case "always":
	case "interval":
		if s.interval <= 0 {
			return o, usagef("--sync-interval is %v, must be positive", s.interval)
		}
		o.WAL.Interval = s.interval
	default:
		return o, usagef("--sync is %q, must be always or interval", s.sync)
	}
	if err := o.Defaults().Validate(); err != nil {
		return o, usageError{err}
	}
	return o, nil
}

func (s *settings) serverOptions(logger *slog.Logger) server.Options {
	return server.Options{
		Listen: s.listen, MaxBodyBytes: int(s.maxBody), MaxRecordBytes: int(s.maxRecord), Hosts: s.hosts, Logger: logger,
	}
}

func (s *settings) logger() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, usagef("--log-level is %q, must be debug, info, warn or error", s.logLevel)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})), nil
}

// bytesValue is a size on the command line: a number of bytes, or one with a unit, 64MiB or 8GiB.
type bytesValue int64

var units = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}}

// String gives the largest binary unit that divides the size.
func (v *bytesValue) String() string {
	for i := 3; i >= 0; i-- {
		if n := int64(*v); n != 0 && n%units[i].bytes == 0 {
			return strconv.FormatInt(n/units[i].bytes, 10) + units[i].suffix
		}
	}
	return strconv.FormatInt(int64(*v), 10)
}

// Set implements pflag.Value.
func (v *bytesValue) Set(text string) error {
	factor, digits := int64(1), text
	for _, u := range units {
		if d, ok := strings.CutSuffix(text, u.suffix); ok {
			factor, digits = u.bytes, strings.TrimSpace(d)
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/factor {
		return fmt.Errorf("%q is no size: give bytes, or a number with KiB, MiB, GiB or TiB", text)
	}
	*v = bytesValue(n * factor)
	return nil
}

// Type implements pflag.Value.
func (v *bytesValue) Type() string { return "size" }

func (v bytesValue) orOff() int64 {
	if v == 0 {
		return -1
	}
	return int64(v)
}
