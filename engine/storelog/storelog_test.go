package storelog

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firndb/firn/blockfile/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

func takeover(n uint64, writer string, epoch uint32) Entry {
	return Entry{N: n, Kind: KindTakeover, WriterID: writer, Epoch: epoch, Time: "2026-01-02T03:04:05Z"}
}

func file(key string) File {
	return File{Key: key, Table: "battle", Date: "2026-01-02", Size: 1 << 20, RawBytes: 3 << 20, Records: 1000, Blocks: 7, CRC: 0xdeadbeef,
		SidecarSize: 900, SidecarCRC: 1, FirstSeq: 10, LastSeq: 1010, First: -5, Last: 1767312000000, Schema: fingerprint(`"text"`),
		Codec: "deflate", Marker: 2, JobStart: 1767312000001, Lineage: []string{"0000010000000001"}}
}

// full has every member of an entry.
func full(n uint64) Entry {
	return Entry{N: n, Kind: KindRun, WriterID: "w", Epoch: 1, Time: "2026-01-02T03:04:05.678Z", Run: "0000010000000001",
		Added:       []File{file("battle/date=2026-01-02/0000010000000001-000001.avro"), file("battle/date=2026-01-02/0000010000000001-000002.avro")},
		Retired:     []string{"0000010000000000"},
		ArchivedSeq: 1<<64 - 1,
		Schemas:     []SchemaDef{{Table: "battle", Version: 1, Fingerprint: fingerprint(`{"type":"record","name":"<é>"}`), Created: 7, Text: `{"type":"record","name":"<é>"}`, Tree: []byte{0, 1, 255}}},
		Tables:      map[string]Settings{"battle": {Codec: "zstandard", Partition: "month", TimeField: "at"}, "a": {}},
		Counters:    map[string]Counters{"battle": {Accepted: 2002, Cold: 2000, Lost: 2}}}
}

func TestEntriesComeBack(t *testing.T) {
	for _, e := range []Entry{takeover(0, "w", 1), full(7), full(1<<64 - 1),
		{N: 3, Kind: KindAbort, WriterID: "w", Epoch: 1, Time: "2026-01-02T03:04:05Z", Run: "0000010000000009"},
		{N: 4, Kind: KindTable, WriterID: "w", Epoch: 1, Time: "2026-01-02T03:04:05Z", Tables: map[string]Settings{"t": {Codec: "null"}}},
	} {
		b, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(e.N, b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("%v\n%+v\n%+v", err, got, e)
		}
		if _, err := Decode(e.N+1, b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("an entry at another position: %v", err)
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is written as\n%s\nwant\n%s", name, got, want)
	}
}

func TestGoldenObjects(t *testing.T) {
	b, err := Encode(full(1))
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "entry-run.json", b)
	if b, err = Encode(takeover(0, "w", 1)); err != nil {
		t.Fatal(err)
	}
	golden(t, "entry-takeover.json", b)

	ctx, st := t.Context(), store.NewMemory()
	s := NewState()
	for _, e := range []Entry{takeover(0, "w", 1), full(1)} {
		if err := s.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.WriteCheckpoint(ctx, st); err != nil {
		t.Fatal(err)
	}
	if b, err = st.Get(ctx, "_firn/checkpoint/00000000000000000002", 1<<20); err != nil {
		t.Fatal(err)
	}
	golden(t, "checkpoint.jsonl", b)

	const info = `{"format":1,"id":"000102030405060708090a0b0c0d0e0f","salt":"101112131415161718191a1b1c1d1e1f","created":"2026-01-02T03:04:05Z"}` + "\n"
	golden(t, "store.json", appendTrailer([]byte(info), crc32.Checksum([]byte(info), castagnoli)))
	if b, err = os.ReadFile("testdata/store.json"); err != nil {
		t.Fatal(err)
	}
	if err := st.PutIfAbsent(ctx, "_firn/store", b); err != nil {
		t.Fatal(err)
	}
	got, err := Init(ctx, st)
	if err != nil || got.ID != "000102030405060708090a0b0c0d0e0f" || hex.EncodeToString(got.Salt[:]) != "101112131415161718191a1b1c1d1e1f" || got.Created != "2026-01-02T03:04:05Z" || got.Format != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
}

// Whatever byte of an entry or checkpoint is flipped, cut or added: an error
// that names the object, never another entry.
func TestDamagedObjects(t *testing.T) {
	b, err := Encode(full(1))
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, b []byte) {
		t.Helper()
		_, err := Decode(1, b)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Key != Key(1) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range b {
		d := bytes.Clone(b)
		d[i] ^= 1 << (i % 8)
		check(fmt.Sprint("flip at ", i), d)
		check(fmt.Sprint("cut to ", i), b[:i])
	}
	check("a byte more", append(bytes.Clone(b), '\n'))
	seal := func(text string) []byte {
		return appendTrailer([]byte(text), crc32.Checksum([]byte(text), castagnoli))
	}
	head := `{"format":1,"n":1,"kind":"takeover","writer_id":"w","epoch":1,"time":"2026-01-02T03:04:05Z"`
	if _, err := Decode(1, seal(head+"}\n")); err != nil {
		t.Fatalf("the sound one: %v", err)
	}
	for _, text := range []string{"", "\n", "{}\n", "null\n", "[]\n", head + "}", head + `,"x":1}` + "\n", head + "}\n{}\n", head + `,"epoch":-1}` + "\n",
		head + `,"run":"r"}` + "\n", strings.Replace(head, "takeover", "other", 1) + "}\n", strings.Replace(head, "2026-01-02T", "yesterday", 1) + "}\n",
		strings.Replace(head, `"epoch":1`, `"epoch":4294967296`, 1) + "}\n", strings.Replace(head, `"w"`, `""`, 1) + "}\n", head + `,"added":[{"key":"a"}]}` + "\n",
		strings.Repeat(`[`, 20000) + "\n"} {
		check(text, seal(text))
	}
	if _, err := Decode(1, seal(strings.Replace(head, `"format":1`, `"format":2,"new":true`, 1)+"}\n")); !errors.Is(err, ErrFormat) || errors.Is(err, ErrCorrupt) {
		t.Errorf("a later format: %v", err)
	}

	ctx, st := t.Context(), store.NewMemory()
	s := NewState()
	if err := errors.Join(s.Apply(takeover(0, "w", 1)), s.Apply(full(1)), s.WriteCheckpoint(ctx, st)); err != nil {
		t.Fatal(err)
	}
	whole, err := st.Get(ctx, CheckpointKey(2), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, b []byte) {
		t.Helper()
		st := store.NewMemory()
		if err := st.PutIfAbsent(ctx, CheckpointKey(2), b); err != nil {
			t.Fatal(err)
		}
		s, damaged, err := LoadNewestCheckpoint(ctx, st)
		if err != nil || len(damaged) != 1 || s.Next != 0 || len(s.Files) != 0 {
			t.Fatalf("%s: %+v, %v, %v", what, s, damaged, err)
		}
	}
	for i := range whole {
		d := bytes.Clone(whole)
		d[i] ^= 1 << (i % 8)
		try(fmt.Sprint("flip at ", i), d)
		if i > 0 {
			try(fmt.Sprint("cut to ", i), whole[:i])
		}
	}
	try("bytes behind the end", append(bytes.Clone(whole), "{}\n"...))
	try("empty", nil)
}

func TestInvalidEntriesAreNotSent(t *testing.T) {
	for name, change := range map[string]func(*Entry){
		"kind":            func(e *Entry) { e.Kind = "other" },
		"no writer":       func(e *Entry) { e.WriterID = "" },
		"no time":         func(e *Entry) { e.Time = "" },
		"run without id":  func(e *Entry) { e.Run = "" },
		"abort with":      func(e *Entry) { e.Kind = KindAbort },
		"takeover with":   func(e *Entry) { e.Kind = KindTakeover },
		"table with":      func(e *Entry) { e.Kind = KindTable },
		"key twice":       func(e *Entry) { e.Added[1].Key = e.Added[0].Key },
		"added & removed": func(e *Entry) { e.Removed = []string{e.Added[0].Key} },
		"ugly key":        func(e *Entry) { e.Removed = []string{"../x"} },
		"not UTF-8":       func(e *Entry) { e.Added[0].Table = "\xff" },
		"setting":         func(e *Entry) { e.Tables["x"] = Settings{TimeField: "\xff"} },
		"nameless table":  func(e *Entry) { e.Counters[""] = Counters{} },
		"negative size":   func(e *Entry) { e.Added[0].Size = -1 },
		"range":           func(e *Entry) { e.Added[0].LastSeq = 1 },
		"fingerprint":     func(e *Entry) { e.Schemas[0].Text += " " },
		"too large":       func(e *Entry) { e.Schemas[0].Tree = make([]byte, MaxEntryBytes) },
	} {
		e := full(5)
		change(&e)
		st := store.NewCounting(store.NewMemory())
		if _, _, err := Put(t.Context(), st, e); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if n := st.Counts().Requests(); n != 0 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

// faulty is a store whose first puts and gets go wrong.
type faulty struct {
	store.Store
	mu   sync.Mutex
	puts []func(put func() error) error // for each put in turn; nil puts
	gets []error
	log  []string
}

func (f *faulty) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	f.mu.Lock()
	f.log = append(f.log, "put")
	var fault func(func() error) error
	if len(f.puts) > 0 {
		fault, f.puts = f.puts[0], f.puts[1:]
	}
	f.mu.Unlock()
	put := func() error { return f.Store.PutIfAbsent(context.WithoutCancel(ctx), key, data) }
	if fault == nil {
		return put()
	}
	return fault(put)
}

func (f *faulty) Get(ctx context.Context, key string, max int64) ([]byte, error) {
	f.mu.Lock()
	f.log = append(f.log, "get")
	var err error
	if len(f.gets) > 0 {
		err, f.gets = f.gets[0], f.gets[1:]
	}
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return f.Store.Get(ctx, key, max)
}

var errNet = errors.New("connection reset")

func TestPutSettles(t *testing.T) {
	before := func(func() error) error { return errNet }                        // lost on the way there
	after := func(put func() error) error { return errors.Join(put(), errNet) } // lost on the way back
	taken := func(put func() error) error { return fmt.Errorf("x: %w", put()) } // plain
	mine, other := full(1), takeover(1, "other", 2)
	for name, test := range map[string]struct {
		there *Entry // at the position beforehand
		puts  []func(func() error) error
		gets  []error
		ours  bool
		log   string
	}{
		"at once":                      {ours: true, log: "put"},
		"error before the effect":      {puts: []func(func() error) error{before}, ours: true, log: "put get put"},
		"error after the effect":       {puts: []func(func() error) error{after}, ours: true, log: "put get"},
		"after, and nothing readable":  {puts: []func(func() error) error{after}, gets: []error{errNet, errNet}, ours: true, log: "put get put get put get"},
		"a long outage":                {puts: []func(func() error) error{before, before, before}, gets: []error{errNet, errNet, errNet}, ours: true, log: "put get put get put get put"},
		"another's is there":           {there: &other, puts: []func(func() error) error{taken}, log: "put get"},
		"another's, after an error":    {there: &other, puts: []func(func() error) error{before}, log: "put get"},
		"another's, not readable once": {there: &other, gets: []error{errNet}, log: "put get put get"},
		"ours from an earlier attempt": {there: &mine, ours: true, log: "put get"},
		"exists, but not to be read":   {there: &mine, gets: []error{store.ErrNotFound}, ours: true, log: "put get put get"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				f := &faulty{Store: store.NewMemory(), puts: test.puts, gets: test.gets}
				want := mine
				if test.there != nil {
					want = *test.there
					if _, _, err := Put(ctx, f.Store, want); err != nil {
						t.Fatal(err)
					}
				}
				there, ours, err := Put(ctx, f, mine)
				if err != nil || ours != test.ours || !reflect.DeepEqual(there, want) {
					t.Fatalf("%+v %v %v", there, ours, err)
				}
				if got := strings.Join(f.log, " "); got != test.log {
					t.Errorf("requests %q, want %q", got, test.log)
				}
				if got, err := Get(ctx, f.Store, 1); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("the store holds %+v, %v", got, err)
				}
			})
		})
	}
}

// A delayed put of one process and the abort of the next one: one of them is
// the entry, and both learn which.
func TestPutAgainstDelayedPut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.NewMemory()
		late := make(chan func() error, 1)
		f := &faulty{Store: st, puts: []func(func() error) error{func(put func() error) error { late <- put; return errNet }}}
		ctx, cancel := context.WithCancel(t.Context())
		died := make(chan error)
		go func() { _, _, err := Put(ctx, f, full(1)); died <- err }()
		put := <-late
		cancel()
		var unknown *UnknownOutcomeError
		if err := <-died; !errors.As(err, &unknown) || unknown.N != 1 || !errors.Is(err, errNet) || !errors.Is(err, context.Canceled) {
			t.Fatalf("a put that was given up: %v", err)
		}
		abort := Entry{N: 1, Kind: KindAbort, WriterID: "w", Epoch: 1, Time: "2026-01-02T03:04:06Z", Run: full(1).Run}
		if _, ours, err := Put(t.Context(), st, abort); err != nil || !ours {
			t.Fatal(ours, err)
		}
		if err := put(); !errors.Is(err, store.ErrExists) {
			t.Fatalf("the delayed put landed: %v", err)
		}
		there, ours, err := Put(t.Context(), st, full(1))
		if err != nil || ours || there.Kind != KindAbort {
			t.Fatalf("%+v %v %v", there, ours, err)
		}
	})
}

// A store that is closed before anything was sent is one thing; closed after a
// put whose answer was lost, the outcome stays unknown.
func TestPutAndAStoreThatCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		f := &faulty{Store: store.NewMemory(), gets: []error{errNet}}
		f.puts = []func(func() error) error{func(put func() error) error { return errors.Join(put(), f.Store.Close(), errNet) }}
		var unknown *UnknownOutcomeError
		if _, _, err := Put(ctx, f, full(1)); !errors.As(err, &unknown) || !errors.Is(err, store.ErrClosed) {
			t.Errorf("%v", err)
		}
	})
}

func TestPutThatSendsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	st := store.NewCounting(store.NewMemory())
	var unknown *UnknownOutcomeError
	if _, _, err := Put(ctx, st, full(1)); !errors.Is(err, context.Canceled) || errors.As(err, &unknown) || st.Counts().Requests() != 0 {
		t.Errorf("a context that is over: %v", err)
	}
	st.Close()
	if _, _, err := Put(t.Context(), st, full(1)); !errors.Is(err, store.ErrClosed) || errors.As(err, &unknown) {
		t.Errorf("a closed store: %v", err)
	}
}

func TestPutOntoDamage(t *testing.T) {
	st := store.NewMemory()
	if err := st.PutIfAbsent(t.Context(), Key(1), []byte("rot")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Put(t.Context(), st, full(1)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

func TestInit(t *testing.T) {
	t.Run("many at once", func(t *testing.T) {
		st := store.NewMemory()
		var wg sync.WaitGroup
		got := make([]StoreInfo, 20)
		for i := range got {
			wg.Go(func() {
				var err error
				if got[i], err = Init(t.Context(), st); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, info := range got {
			if info != got[0] || len(info.ID) != 32 || info.Salt == ([16]byte{}) {
				t.Fatalf("%+v, %+v", info, got[0])
			}
		}
		if _, err := time.Parse(time.RFC3339, got[0].Created); err != nil {
			t.Error(err)
		}
	})
	t.Run("answer lost", func(t *testing.T) {
		f := &faulty{Store: store.NewMemory(), puts: []func(func() error) error{func(put func() error) error { return errors.Join(put(), errNet) }}}
		a, err := Init(t.Context(), f)
		b, err2 := Init(t.Context(), f)
		if err != nil || err2 != nil || a != b {
			t.Fatal(a, err, b, err2)
		}
	})
	t.Run("store away", func(t *testing.T) {
		f := &faulty{Store: store.NewMemory(), puts: []func(func() error) error{func(func() error) error { return errNet }}}
		if _, err := Init(t.Context(), f); !errors.Is(err, errNet) {
			t.Fatal(err)
		}
		if _, err := Init(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		f.gets = []error{errNet}
		if _, err := Init(t.Context(), f); !errors.Is(err, errNet) {
			t.Fatal(err)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		ctx, st := t.Context(), store.NewMemory()
		if _, err := Info(ctx, st); !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		if _, err := Init(ctx, st); err != nil {
			t.Fatal(err)
		}
		whole, err := st.Get(ctx, storeKey, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for i := range whole {
			st := store.NewMemory()
			d := bytes.Clone(whole)
			d[i] ^= 2
			if err := st.PutIfAbsent(ctx, storeKey, d); err != nil {
				t.Fatal(err)
			}
			if _, err := Init(ctx, st); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("flip at %d: %v", i, err)
			}
		}
	})
}

// randomLog puts a log of n entries as honest writers would.
func randomLog(t testing.TB, st store.Store, n int, rng *rand.Rand) []Entry {
	t.Helper()
	var log []Entry
	writer, epoch := "w0", uint32(1)
	var live []string
	cold := uint64(0)
	for i := range n {
		e := Entry{N: uint64(i), WriterID: writer, Epoch: epoch, Time: "2026-01-02T03:04:05Z"}
		run := fmt.Sprintf("%016x", i)
		switch {
		case i == 0 || rng.IntN(40) == 0:
			writer, epoch = fmt.Sprintf("w%d", i), epoch+rng.Uint32N(3)+1
			e = takeover(e.N, writer, epoch)
		case rng.IntN(10) == 0:
			e.Kind, e.Run = KindAbort, run
		case rng.IntN(10) == 0:
			e.Kind, e.Tables = KindTable, map[string]Settings{fmt.Sprint("t", rng.IntN(3)): {Codec: fmt.Sprint("c", i)}}
		default:
			e.Kind, e.Run, e.ArchivedSeq = KindRun, run, uint64(i)*10
			for k := range rng.IntN(3) {
				f := file(fmt.Sprintf("t/%s-%06d.avro", run, k))
				e.Added = append(e.Added, f)
				cold += f.Records
			}
			for len(live) > 0 && rng.IntN(3) == 0 {
				k := rng.IntN(len(live))
				e.Removed = append(e.Removed, live[k])
				live = slices.Delete(live, k, k+1)
			}
			for _, f := range e.Added {
				live = append(live, f.Key)
			}
			for range rng.IntN(3) {
				e.Retired = append(e.Retired, fmt.Sprintf("%016x", rng.Uint64()))
			}
			if rng.IntN(5) == 0 {
				text := fmt.Sprintf(`"schema %d"`, i)
				e.Schemas = []SchemaDef{{Table: fmt.Sprint("t", rng.IntN(3)), Version: uint64(i), Fingerprint: fingerprint(text), Created: int64(i), Text: text, Tree: []byte(run)}}
			}
			e.Counters = map[string]Counters{"battle": {Accepted: cold, Cold: cold}}
		}
		if _, ours, err := Put(t.Context(), st, e); err != nil || !ours {
			t.Fatal(ours, err)
		}
		log = append(log, e)
	}
	return log
}

func TestCheckpointPlusRestIsTheWholeLog(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	ctx, st := t.Context(), store.NewMemory()
	if s, err := Load(ctx, st); err != nil || s.Next != 0 {
		t.Fatalf("an empty store: %+v, %v", s, err)
	}
	log := randomLog(t, st, 3*CheckpointEvery+17, rng)
	want := NewState()
	for _, e := range log {
		if err := want.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	if len(want.Files) < 50 || len(want.Schemas) == 0 || len(want.Retired) == 0 || want.Epoch < 3 {
		t.Fatalf("a dull log: %d files", len(want.Files))
	}
	check := func(what string, next uint64) {
		t.Helper()
		s, damaged, err := LoadNewestCheckpoint(ctx, st)
		if err != nil || damaged != nil || s.Next != next {
			t.Fatalf("%s: checkpoint %d, %v, %v", what, s.Next, damaged, err)
		}
		counting := store.NewCounting(st)
		got, err := Load(ctx, counting)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: the state differs, %v", what, err)
		}
		if gets := counting.Counts(); gets.Requests() > int64(len(log))-int64(next)+6 {
			t.Errorf("%s: %d requests", what, gets.Requests())
		}
		writer, epoch, n, err := Writer(ctx, st)
		if err != nil || writer != want.WriterID || epoch != want.Epoch || n != uint64(len(log)) {
			t.Fatalf("%s: writer %s %d %d %v", what, writer, epoch, n, err)
		}
	}
	check("no checkpoint", 0)
	for _, at := range []uint64{CheckpointEvery - 1, CheckpointEvery, CheckpointEvery + 5, 3*CheckpointEvery + 3} {
		wrote, err := Checkpoint(ctx, st, at)
		if err != nil || wrote != (at == CheckpointEvery || at > 2*CheckpointEvery) {
			t.Fatalf("checkpoint at %d: %v, %v", at, wrote, err)
		}
		check(fmt.Sprint("at ", at), at-at%CheckpointEvery)
	}
	// A newer one that is damaged is passed over; a foreign object is no checkpoint.
	if err := errors.Join(st.PutIfAbsent(ctx, CheckpointKey(4*CheckpointEvery), []byte("rot")), st.PutIfAbsent(ctx, checkpointPrefix+"zz", nil)); err != nil {
		t.Fatal(err)
	}
	s, damaged, err := LoadNewestCheckpoint(ctx, st)
	if err != nil || len(damaged) != 1 || s.Next != 3*CheckpointEvery {
		t.Fatalf("%d %v %v", s.Next, damaged, err)
	}
	if got, err := Load(ctx, st); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("the state differs, %v", err)
	}
	if err := s.WriteCheckpoint(ctx, st); err != nil {
		t.Errorf("the same checkpoint again: %v", err)
	}
	// One state gives one sequence of bytes.
	other := store.NewMemory()
	if err := s.WriteCheckpoint(ctx, other); err != nil {
		t.Fatal(err)
	}
	a, err := st.Get(ctx, CheckpointKey(s.Next), 1<<30)
	b, err2 := other.Get(ctx, CheckpointKey(s.Next), 1<<30)
	if err != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Errorf("checkpoints of one state differ, %v, %v", err, err2)
	}
}

func TestEntriesThatCannotFollow(t *testing.T) {
	base := func() *State {
		s := NewState()
		if err := errors.Join(s.Apply(takeover(0, "w", 1)), s.Apply(full(1))); err != nil {
			t.Fatal(err)
		}
		return s
	}
	run := func() Entry {
		return Entry{N: 2, Kind: KindRun, WriterID: "w", Epoch: 1, Time: "2026-01-02T03:04:05Z", Run: "0000010000000002"}
	}
	if err := NewState().Apply(run()); !errors.Is(err, ErrSequence) {
		t.Errorf("a log that begins with a run: %v", err)
	}
	for name, change := range map[string]func(*Entry){
		"gap":             func(e *Entry) { e.N = 3 },
		"again":           func(e *Entry) { e.N = 1 },
		"another writer":  func(e *Entry) { e.WriterID = "x" },
		"another epoch":   func(e *Entry) { e.Epoch = 2 },
		"epoch stays":     func(e *Entry) { *e = takeover(2, "x", 1) },
		"added twice":     func(e *Entry) { e.Added = full(1).Added },
		"removed unknown": func(e *Entry) { e.Removed = []string{"none"} },
		"other schema": func(e *Entry) {
			e.Schemas = []SchemaDef{{Table: "battle", Version: 1, Text: "x", Fingerprint: fingerprint("x")}}
		},
	} {
		s, e := base(), run()
		change(&e)
		if err := s.Apply(e); !errors.Is(err, ErrSequence) {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(s, base()) {
			t.Errorf("%s: the state moved", name)
		}
	}
	s, e := base(), run()
	e.Removed = []string{full(1).Added[0].Key}
	if err := s.Apply(e); err != nil || len(s.Files) != 1 || s.Next != 3 {
		t.Errorf("a sound run: %v, %d files", err, len(s.Files))
	}
	ctx, st := t.Context(), store.NewMemory()
	for _, e := range []Entry{takeover(0, "w", 1), full(1)} {
		if _, _, err := Put(ctx, st, e); err != nil {
			t.Fatal(err)
		}
	}
	stop := errors.New("stop")
	if next, err := Read(ctx, st, 0, func(e Entry) error {
		if e.N == 1 {
			return stop
		}
		return nil
	}); err != stop || next != 1 {
		t.Errorf("Read: %d, %v", next, err)
	}
	if next, err := Read(ctx, st, 2, func(Entry) error { return stop }); err != nil || next != 2 {
		t.Errorf("Read at the end: %d, %v", next, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range []Entry{full(1), takeover(1, "w", 1)} {
		b, err := Encode(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:len(b)-trailerSize])
	}
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, lines []byte) {
		// With the right checksum, so that what is behind it is reached.
		e, err := Decode(1, appendTrailer(bytes.Clone(lines), crc32.Checksum(lines, castagnoli)))
		if err != nil {
			return
		}
		b, err := Encode(e)
		if err != nil {
			t.Fatalf("%+v was read and cannot be written: %v", e, err)
		}
		if back, err := Decode(1, b); err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("%v\n%+v\n%+v", err, back, e)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	st := store.NewMemory()
	s := NewState()
	if err := errors.Join(s.Apply(takeover(0, "w", 1)), s.Apply(full(1)), s.WriteCheckpoint(context.Background(), st)); err != nil {
		f.Fatal(err)
	}
	b, err := st.Get(context.Background(), CheckpointKey(2), 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:len(b)-trailerSize])
	f.Fuzz(func(t *testing.T, lines []byte) {
		st := store.NewMemory()
		if err := st.PutIfAbsent(t.Context(), CheckpointKey(2), appendTrailer(bytes.Clone(lines), crc32.Checksum(lines, castagnoli))); err != nil {
			t.Fatal(err)
		}
		if s, damaged, err := LoadNewestCheckpoint(t.Context(), st); err != nil || s == nil || len(damaged) > 1 {
			t.Fatal(s, damaged, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	e := full(1)
	for i := range 100 {
		e.Added = append(e.Added, file(fmt.Sprintf("battle/%06d.avro", i)))
	}
	data, err := Encode(e)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadCheckpoint(b *testing.B) {
	ctx, st := b.Context(), store.NewMemory()
	s := NewState()
	for i := range 10_000 {
		f := file(fmt.Sprintf("battle/%06d.avro", i))
		s.Files[f.Key] = LiveFile{File: f, Run: "0000010000000001", LiveFrom: uint64(i)}
	}
	s.Next = CheckpointEvery
	if err := s.WriteCheckpoint(ctx, st); err != nil {
		b.Fatal(err)
	}
	size, err := st.Size(ctx, CheckpointKey(s.Next))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if s, damaged, err := LoadNewestCheckpoint(ctx, st); err != nil || damaged != nil || len(s.Files) != 10_000 {
			b.Fatal(damaged, err)
		}
	}
}
